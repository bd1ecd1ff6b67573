# The mesh port of a region's nodes: open only to the regions' addresses, including its own.

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
  description = "Security group of the nodes and pods that allows mesh traffic."
  type        = string
}

variable "peers" {
  description = "The agents' egress addresses, each with a name."
  type        = map(string)
}

variable "mesh_port" {
  description = "UDP port of the mesh."
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
  description = "Sources that may reach the mesh port."
  value       = [for rule in aws_vpc_security_group_ingress_rule.mesh : rule.cidr_ipv4]
}
