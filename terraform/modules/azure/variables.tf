# One region on Azure.

variable "name" {
  description = "Prefix of every name: project, environment and region."
  type        = string
}

variable "region" {
  description = "The region's name in the mesh."
  type        = string
}

variable "location" {
  description = "Azure location."
  type        = string
}

variable "network_cidr" {
  description = "A /16: nodes, services and pods each have a part."
  type        = string
}

variable "kubernetes_version" {
  description = "Kubernetes version of the control plane and the nodes."
  type        = string
}

variable "agent_machine" {
  description = "VM size of the agents' nodes."
  type        = string
}

variable "serving_machine" {
  description = "VM size of the model servers' nodes."
  type        = string
}

variable "gpu_machine" {
  description = "VM size of the nodes with GPUs."
  type        = string
}

variable "agent_nodes" {
  description = "Number of agents' nodes; always on-demand."
  type        = number
}

variable "serving_nodes_min" {
  description = "Minimum number of model servers' nodes."
  type        = number
}

variable "serving_nodes_max" {
  description = "Maximum number of model servers' nodes."
  type        = number
}

variable "use_spot_instances" {
  description = "Whether model servers use spot capacity; a small on-demand group remains for spot shortages."
  type        = bool
}

variable "enable_gpu" {
  description = "Whether to create a node group with GPUs."
  type        = bool
}

variable "gpu_nodes_max" {
  description = "Maximum number of nodes with GPUs."
  type        = number
}

variable "cluster_access_cidrs" {
  description = "Networks that may reach the cluster's API; empty: only its own."
  type        = list(string)
}

variable "addresses" {
  description = "Services with a fixed public address: mesh, dns, serving; verdict if Route 53 queries it."
  type        = set(string)
}

variable "log_retention_days" {
  description = "Log retention in days."
  type        = number
}

variable "takes_cost_exports" {
  description = "Whether the log container receives the subscription's billing export."
  type        = bool
}

variable "protect_data" {
  description = "Whether the cluster and buckets that are not empty can't be destroyed."
  type        = bool
}

variable "tags" {
  description = "Tags of every resource: the provider has no default tags."
  type        = map(string)
}
