# The mesh port of a region's nodes: open only to the other regions' addresses.

terraform {
  required_version = ">= 1.9.0"
  required_providers {
    azurerm = {
      source  = "hashicorp/azurerm"
      version = "~> 4.55"
    }
  }
}

variable "resource_group" {
  description = "The security group's resource group."
  type        = string
}

variable "security_group" {
  description = "The nodes' network security group."
  type        = string
}

variable "peers" {
  description = "The agents' egress addresses, each with a name."
  type        = map(string)
}

variable "checker_cidrs" {
  description = "Source networks of Route 53's health checkers; empty: none."
  type        = list(string)
}

variable "mesh_port" {
  description = "UDP port of the mesh."
  type        = number
}

locals {
  rules = {
    mesh           = { access = "Allow", priority = 300, sources = [for address in values(var.peers) : "${address}/32"] }
    mesh-strangers = { access = "Deny", priority = 310, sources = ["0.0.0.0/0"] }
  }
}

resource "azurerm_network_security_rule" "mesh" {
  for_each                    = local.rules
  name                        = each.key
  description                 = each.value.access == "Allow" ? "regionmesh: mesh from the other regions" : "regionmesh: no other mesh traffic"
  resource_group_name         = var.resource_group
  network_security_group_name = var.security_group
  direction                   = "Inbound"
  access                      = each.value.access
  priority                    = each.value.priority
  protocol                    = "Udp"
  source_address_prefixes     = each.value.sources
  source_port_range           = "*"
  destination_address_prefix  = "*"
  destination_port_range      = tostring(var.mesh_port)
}

# Their Prometheus federates ours.
resource "azurerm_network_security_rule" "prometheus" {
  name                        = "prometheus"
  description                 = "regionmesh: Prometheus of the other regions"
  resource_group_name         = var.resource_group
  network_security_group_name = var.security_group
  direction                   = "Inbound"
  access                      = "Allow"
  priority                    = 320
  protocol                    = "Tcp"
  source_address_prefixes     = [for address in values(var.peers) : "${address}/32"]
  source_port_range           = "*"
  destination_address_prefix  = "*"
  destination_port_range      = "9090"
}

# Route 53 queries the agents where it answers for the zone.
resource "azurerm_network_security_rule" "checkers" {
  count                       = length(var.checker_cidrs) > 0 ? 1 : 0
  name                        = "checkers"
  description                 = "regionmesh: health checkers of Route 53"
  resource_group_name         = var.resource_group
  network_security_group_name = var.security_group
  direction                   = "Inbound"
  access                      = "Allow"
  priority                    = 330
  protocol                    = "Tcp"
  source_address_prefixes     = var.checker_cidrs
  source_port_range           = "*"
  destination_address_prefix  = "*"
  destination_port_range      = "9080"
}

output "ingress" {
  description = "External sources that may reach the mesh port."
  value       = azurerm_network_security_rule.mesh["mesh"].source_address_prefixes
}
