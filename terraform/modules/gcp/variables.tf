# One region on GCP.

variable "name" {
  description = "Prefix of every name: project, environment and region."
  type        = string
}

variable "region" {
  description = "The region's name in the mesh."
  type        = string
}

variable "project_id" {
  description = "The GCP project."
  type        = string
}

variable "location" {
  description = "GCP region."
  type        = string
}

variable "network_cidr" {
  description = "A /16 for the network."
  type        = string
}

variable "kubernetes_version" {
  description = "Kubernetes version of the control plane and the nodes."
  type        = string
}

variable "agent_machine" {
  description = "Machine type of the agents' nodes."
  type        = string
}

variable "serving_machine" {
  description = "Machine type of the model servers' nodes."
  type        = string
}

variable "gpu_machine" {
  description = "Machine type of the nodes with GPUs."
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

variable "protect_data" {
  description = "Whether the cluster and buckets that are not empty can't be destroyed."
  type        = bool
}

variable "gpu_type" {
  description = "The accelerator of gpu_machine."
  type        = string
}
