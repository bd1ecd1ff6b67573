# One region on Azure.

variable "name" {
  description = "Begins every name: project, environment and region."
  type        = string
}

variable "region" {
  description = "The region's name in the mesh."
  type        = string
}

variable "location" {
  description = "Azure's name of the place."
  type        = string
}

variable "network_cidr" {
  description = "A /16: nodes, services and pods each have a part."
  type        = string
}

variable "kubernetes_version" {
  description = "Of the control plane and the nodes."
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
  description = "How many nodes run an agent: always on-demand."
  type        = number
}

variable "serving_nodes_min" {
  description = "Fewest nodes for model servers."
  type        = number
}

variable "serving_nodes_max" {
  description = "Most nodes for model servers."
  type        = number
}

variable "use_spot_instances" {
  description = "Whether model servers run on spot capacity; a small on-demand group stays for what spot cannot give."
  type        = bool
}

variable "enable_gpu" {
  description = "Whether there is a group of nodes with GPUs."
  type        = bool
}

variable "gpu_nodes_max" {
  description = "Most nodes with GPUs."
  type        = number
}

variable "cluster_access_cidrs" {
  description = "From where the cluster's API may be reached; none: from the network alone."
  type        = list(string)
}

variable "addresses" {
  description = "What gets a fixed public address: mesh, dns, serving, and verdict where Route 53 asks."
  type        = set(string)
}

variable "log_retention_days" {
  description = "How long logs are kept, days."
  type        = number
}

variable "takes_cost_exports" {
  description = "Whether the container for logs takes the subscription's billing export."
  type        = bool
}

variable "protect_data" {
  description = "Whether buckets with something in them and the cluster refuse to be destroyed."
  type        = bool
}

variable "tags" {
  description = "Of everything: the provider has none of its own."
  type        = map(string)
}
