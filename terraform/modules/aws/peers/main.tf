# The mesh port of a region's nodes: open to the other regions' addresses and to the region's own, to nobody else.

terraform {
  required_version = ">= 1.9.0"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }
}

variable "security_group_id" {
  description = "That of the nodes and pods which lets in the mesh."
  type        = string
}

variable "peers" {
  description = "Addresses that agents come from, by a name for each."
  type        = map(string)
}

variable "mesh_port" {
  description = "UDP."
  type        = number
}

resource "aws_vpc_security_group_ingress_rule" "mesh" {
  for_each          = var.peers
  security_group_id = var.security_group_id
  description       = "regionmesh: mesh from ${each.key}"
  ip_protocol       = "udp"
  from_port         = var.mesh_port
  to_port           = var.mesh_port
  cidr_ipv4         = "${each.value}/32"
  tags              = { Name = "mesh-${each.key}" }
}

output "ingress" {
  description = "Who may reach the mesh port."
  value       = [for rule in aws_vpc_security_group_ingress_rule.mesh : rule.cidr_ipv4]
}
