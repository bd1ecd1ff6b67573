# Names of the environment in Route 53, and who may change them.

variable "name" {
  description = "Begins the names of roles: project and environment."
  type        = string
}

variable "domain_name" {
  description = "The domain of the zone."
  type        = string
}

variable "mesh_zone" {
  description = "The mesh's zone, one label below the domain: serving.<mesh_zone> is what users ask for."
  type        = string
}

variable "zone_id" {
  description = "An existing public zone of domain_name; null: it is made."
  type        = string
}

variable "protect_data" {
  description = "Whether a zone with records of others in it refuses to be destroyed."
  type        = bool
}

variable "mode" {
  description = "mesh: the zone is delegated to the agents. leader: the dns-leader writes records. static: terraform writes them."
  type        = string
}

variable "routing" {
  description = "In mode static: weighted, failover or latency."
  type        = string
}

variable "regions" {
  description = "By name: fixed addresses of its services, its place in the order, its share (0 to 100), the AWS region next to it."
  type = map(object({
    addresses      = map(string)
    priority       = number
    weight         = number
    latency_region = string
  }))
}

variable "leader_role_names" {
  description = "Roles of agents on AWS, which may lead."
  type        = map(string)
}

variable "leader_issuers" {
  description = "By region: who signs the tokens of agents elsewhere, which take a role of AWS with them."
  type        = map(string)
}
