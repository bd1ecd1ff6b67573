# Settings of an environment; terraform.tfvars.example is an example. Values are validated before
# anything is created.

variable "project_name" {
  description = "Prefix of every name: 3 to 12 lower-case letters, digits and dashes."
  type        = string
  default     = "regionmesh"
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,10}[a-z0-9]$", var.project_name))
    error_message = "project_name: 3 to 12 lower-case letters, digits and dashes, beginning with a letter (limits of Azure and GCP)."
  }
}

variable "environment" {
  description = "The environment's name, and that of its folder in environments/: 2 to 10 lower-case letters and digits."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9]{1,9}$", var.environment))
    error_message = "environment: 2 to 10 lower-case letters and digits, beginning with a letter, for example \"prod\"."
  }
}

variable "domain_name" {
  description = "The domain of the environment's names, for example example.com."
  type        = string
  validation {
    condition     = can(regex("^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\\.)+[a-z]{2,63}$", var.domain_name))
    error_message = "domain_name: a domain such as example.com: lower case, without a trailing dot."
  }
}

variable "mesh_subdomain" {
  description = "The label below domain_name that is the mesh's zone: users query serving.<mesh_subdomain>.<domain_name>."
  type        = string
  default     = "ml"
  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", var.mesh_subdomain))
    error_message = "mesh_subdomain: one label of lower-case letters, digits and dashes."
  }
}

variable "regions" {
  description = <<-EOT
    The regions, keyed by their names in the mesh.
    cloud: aws, gcp or azure; location: the cloud's name for the region;
    slot: the AWS provider (see providers.tf): 0 for the first AWS region, another for each further
    one, never changed afterwards;
    network_cidr: a /16 that no other region uses; priority: for active-passive, 0 first;
    weight: share of traffic, 0 to 100;
    latency_region: the nearest AWS region, for latency records (default: location);
    gpu_type: GCP's name for the GPU of gpu_machine;
    *_nodes: nodes for agents (three, one per zone; on GCP a multiple of three) and model servers.
  EOT
  type = map(object({
    cloud              = string
    location           = string
    slot               = optional(number, 0)
    network_cidr       = string
    priority           = optional(number, 100)
    weight             = optional(number, 100)
    agent_nodes        = optional(number, 3)
    serving_nodes_min  = optional(number, 2)
    serving_nodes_max  = optional(number, 10)
    agent_machine      = optional(string)
    serving_machine    = optional(string)
    gpu_machine        = optional(string)
    gpu_type           = optional(string, "nvidia-l4")
    latency_region     = optional(string)
    kubernetes_version = optional(string)
  }))
  default = {
    us-west-2  = { cloud = "aws", location = "us-west-2", network_cidr = "10.16.0.0/16", priority = 0 }
    eu-west-1  = { cloud = "gcp", location = "europe-west1", network_cidr = "10.32.0.0/16", priority = 1, latency_region = "eu-west-1" }
    ap-south-1 = { cloud = "azure", location = "centralindia", network_cidr = "10.48.0.0/16", priority = 2, latency_region = "ap-south-1" }
  }
  validation {
    condition     = length(var.regions) > 0 && alltrue([for name, region in var.regions : can(regex("^[a-z][a-z0-9-]{0,14}[a-z0-9]$", name))])
    error_message = "regions: at least one; names of 2 to 16 lower-case letters, digits and dashes, beginning with a letter."
  }
  validation {
    condition     = alltrue([for region in var.regions : contains(["aws", "gcp", "azure"], region.cloud)])
    error_message = "regions: cloud must be aws, gcp or azure."
  }
  validation {
    condition     = alltrue([for region in var.regions : can(cidrnetmask(region.network_cidr)) && endswith(region.network_cidr, "/16")])
    error_message = "regions: network_cidr must be a /16 of IPv4, for example 10.16.0.0/16."
  }
  validation {
    condition     = length(distinct([for region in var.regions : region.network_cidr])) == length(var.regions)
    error_message = "regions: two regions have the same network_cidr; each needs a different one."
  }
  validation {
    condition = alltrue([for region in var.regions : region.agent_nodes >= 1 && region.serving_nodes_min >= 1 && region.serving_nodes_max >= region.serving_nodes_min
    && region.weight >= 0 && region.weight <= 100 && region.priority >= 0])
    error_message = "regions: agent_nodes and serving_nodes_min are at least 1, serving_nodes_max at least serving_nodes_min, weight 0 to 100, priority at least 0."
  }
  validation {
    condition     = alltrue([for region in var.regions : region.slot >= 0 && region.slot <= 2 && floor(region.slot) == region.slot])
    error_message = "regions: slot is 0, 1 or 2. A fourth AWS region needs another provider in providers.tf and another module in main.tf."
  }
  validation {
    condition     = alltrue([for slot in range(3) : length(distinct([for region in var.regions : region.location if region.cloud == "aws" && region.slot == slot])) <= 1])
    error_message = "regions: two AWS regions have the same slot; give the second one slot 1 or 2."
  }
}

variable "health_checker_cidrs" {
  description = "Source networks of Route 53's health checkers, for modes leader and static; null: as published by AWS (ip-ranges.amazonaws.com)."
  type        = list(string)
  default     = null
}

variable "gcp_project_id" {
  description = "The GCP project; required if a region has cloud gcp."
  type        = string
  default     = null
  validation {
    condition     = var.gcp_project_id == null || can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.gcp_project_id))
    error_message = "gcp_project_id: a project's id (not its name or number): 6 to 30 lower-case letters, digits and dashes."
  }
  validation {
    condition     = var.gcp_project_id != null || !contains([for region in var.regions : region.cloud], "gcp")
    error_message = "gcp_project_id is required: a region has cloud gcp."
  }
}

variable "azure_subscription_id" {
  description = "The Azure subscription; required if a region has cloud azure."
  type        = string
  default     = null
  validation {
    condition     = var.azure_subscription_id == null || can(regex("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", var.azure_subscription_id))
    error_message = "azure_subscription_id: a subscription's id, such as 00000000-0000-0000-0000-000000000000."
  }
  validation {
    condition     = var.azure_subscription_id != null || !contains([for region in var.regions : region.cloud], "azure")
    error_message = "azure_subscription_id is required: a region has cloud azure."
  }
}

variable "kubernetes_version" {
  description = "Kubernetes version of every cluster; a region's entry can override it, to upgrade region by region."
  type        = string
  default     = "1.32"
  validation {
    condition     = can(regex("^1\\.(3[1-9]|[4-9][0-9])$", var.kubernetes_version))
    error_message = "kubernetes_version: 1.31 or later, without a patch level."
  }
}

variable "use_spot_instances" {
  description = "Run model servers on spot capacity: 60 to 90% cheaper, reclaimed at two minutes' notice. Agents never use it."
  type        = bool
  default     = false
}

variable "enable_gpu" {
  description = "Create a GPU node group in each region; it has no nodes until a pod requests a GPU."
  type        = bool
  default     = false
}

variable "gpu_nodes_max" {
  description = "Maximum number of GPU nodes per region."
  type        = number
  default     = 4
  validation {
    condition     = var.gpu_nodes_max >= 1 && var.gpu_nodes_max <= 100
    error_message = "gpu_nodes_max: 1 to 100."
  }
}

variable "dns_mode" {
  description = "What answers for the mesh's zone: mesh (the agents, by delegation), leader (Route 53, written by the dns-leader), static (Route 53, written by Terraform; only health checks move traffic)."
  type        = string
  default     = "mesh"
  validation {
    condition     = contains(["mesh", "leader", "static"], var.dns_mode)
    error_message = "dns_mode: mesh, leader or static."
  }
}

variable "enable_weighted_routing" {
  description = "Share traffic by the regions' weights; otherwise routing_policy applies."
  type        = bool
  default     = true
}

variable "routing_policy" {
  description = "Without weighted routing: failover (all traffic to the healthy region of lowest priority) or latency (to the nearest)."
  type        = string
  default     = "failover"
  validation {
    condition     = contains(["failover", "latency"], var.routing_policy)
    error_message = "routing_policy: failover or latency; weighted is enable_weighted_routing."
  }
}

variable "route53_zone_id" {
  description = "An existing public hosted zone of domain_name. Without it one is created; give its name servers to the registrar."
  type        = string
  default     = null
  validation {
    condition     = var.route53_zone_id == null || can(regex("^Z[A-Z0-9]{6,31}$", var.route53_zone_id))
    error_message = "route53_zone_id: a hosted zone's id, such as Z0123456789ABC."
  }
}

variable "cluster_access_cidrs" {
  description = "Networks that may reach the clusters' APIs. Default: none."
  type        = list(string)
  default     = []
  validation {
    condition     = alltrue([for cidr in var.cluster_access_cidrs : can(cidrhost(cidr, 0)) && !endswith(cidr, "/0")])
    error_message = "cluster_access_cidrs: networks such as 203.0.113.7/32; the whole Internet (/0) is rejected."
  }
}

variable "eks_addons" {
  description = "Add-ons that EKS keeps up to date; leave out those that you install yourself."
  type        = set(string)
  default     = ["vpc-cni", "coredns", "kube-proxy", "aws-ebs-csi-driver"]
  validation {
    condition     = alltrue([for addon in var.eks_addons : contains(["vpc-cni", "coredns", "kube-proxy", "aws-ebs-csi-driver"], addon)])
    error_message = "eks_addons: only vpc-cni, coredns, kube-proxy, aws-ebs-csi-driver."
  }
}

variable "log_retention_days" {
  description = "Retention of logs in buckets and of the clusters' audit logs, in days."
  type        = number
  default     = 90
  validation {
    condition     = contains([30, 60, 90, 120, 150, 180, 365, 400, 545, 731], var.log_retention_days)
    error_message = "log_retention_days: one of 30, 60, 90, 120, 150, 180, 365, 400, 545, 731 (accepted by every cloud)."
  }
}

variable "enable_cost_exports" {
  description = "Export bills daily in FOCUS format for the agents. AWS: automatic. GCP: needs gcp_focus_export. Azure: manual commands; docs/how-to/deploy-with-terraform.md#billing-exports."
  type        = bool
  default     = false
}

variable "gcp_focus_export" {
  description = <<-EOT
    With enable_cost_exports: the table of GCP's FOCUS export, which you enable by hand, and the
    location of its dataset, such as EU, US or europe-west1. A scheduled query copies the table to a
    bucket in that location.
  EOT
  type = object({
    table    = string
    location = string
  })
  default = null
  validation {
    condition     = var.gcp_focus_export == null || can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]\\.[A-Za-z0-9_]+\\.[A-Za-z0-9_]+$", var.gcp_focus_export.table))
    error_message = "gcp_focus_export: table is project.dataset.table, for example billing-project.gcp_billing_immutable_010101_F0FFF0_61C528_eu.gcp_billing_export_focus_010101_F0FFF0_61C528."
  }
  validation {
    condition     = var.gcp_focus_export == null || can(regex("^(EU|US|[a-z]+-[a-z]+[0-9]+)$", var.gcp_focus_export.location))
    error_message = "gcp_focus_export: location is EU, US or a region such as europe-west1: that of the table's dataset."
  }
  validation {
    condition     = var.gcp_focus_export == null || contains([for region in var.regions : region.cloud], "gcp")
    error_message = "gcp_focus_export: no region has cloud gcp, so no agent could read it."
  }
}

variable "protect_data" {
  description = "Whether clusters and buckets that are not empty can't be destroyed."
  type        = bool
  default     = true
}

variable "tags" {
  description = "Additional tags of every resource."
  type        = map(string)
  default     = {}
}
