# One region on AWS.

variable "name" {
  description = "Begins every name: project, environment and region."
  type        = string
}

variable "region" {
  description = "The region's name in the mesh."
  type        = string
}

variable "location" {
  description = "AWS's name of the region; the provider's."
  type        = string
}

variable "network_cidr" {
  description = "A /16 for the VPC."
  type        = string
}

variable "kubernetes_version" {
  description = "Of the control plane and the nodes."
  type        = string
}

variable "agent_machine" {
  description = "Instance type of the agents' nodes."
  type        = string
}

variable "serving_machine" {
  description = "Instance type of the model servers' nodes."
  type        = string
}

variable "gpu_machine" {
  description = "Instance type of the nodes with GPUs."
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
  description = "From where the cluster's API may be reached; none: from the VPC alone."
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
  description = "Whether the bucket for logs takes the account's billing export."
  type        = bool
}

variable "protect_data" {
  description = "Whether a bucket with something in it refuses to be destroyed."
  type        = bool
}

variable "eks_addons" {
  description = "What EKS keeps up to date in the cluster by itself."
  type        = set(string)
}
