# The environment's names in Route 53, and permissions to change them.

variable "name" {
  description = "Prefix of role names: project and environment."
  type        = string
}

variable "domain_name" {
  description = "The domain of the zone."
  type        = string
}

variable "mesh_zone" {
  description = "The mesh's zone, one label below the domain: users query serving.<mesh_zone>."
  type        = string
}

variable "zone_id" {
  description = "An existing public zone of domain_name; null: create one."
  type        = string
}

variable "protect_data" {
  description = "Whether a zone with other records can't be destroyed."
  type        = bool
}

variable "mode" {
  description = "mesh: delegate the zone to the agents. leader: the dns-leader writes records. static: Terraform writes them."
  type        = string
}

variable "routing" {
  description = "In mode static: weighted, failover or latency."
  type        = string
}

variable "regions" {
  description = "By name: fixed addresses of its services, priority, weight (0 to 100), nearest AWS region."
  type = map(object({
    addresses      = map(string)
    priority       = number
    weight         = number
    latency_region = string
  }))
}

variable "leader_role_names" {
  description = "Roles of agents on AWS, which may become leader."
  type        = map(string)
}

variable "leader_issuers" {
  description = "By region outside AWS: issuer of the tokens with which agents assume an AWS role."
  type        = map(string)
}
