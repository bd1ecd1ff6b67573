# A virtual network with one subnet for nodes without public addresses, and a NAT gateway with a
# fixed one.

data "azurerm_client_config" "here" {}

resource "azurerm_resource_group" "this" {
  name     = var.name
  location = var.location
  tags     = var.tags
}

# Parts of the region's range. The virtual network is for nodes only: pods and services must be
# outside it.
locals {
  nodes_cidr    = cidrsubnet(var.network_cidr, 2, 0)
  services_cidr = cidrsubnet(var.network_cidr, 4, 4)
  pods_cidr     = cidrsubnet(var.network_cidr, 1, 1)
}

resource "azurerm_virtual_network" "this" {
  name                = var.name
  location            = var.location
  resource_group_name = azurerm_resource_group.this.name
  address_space       = [local.nodes_cidr]
  tags                = var.tags
}

resource "azurerm_subnet" "nodes" {
  name                            = "nodes"
  resource_group_name             = azurerm_resource_group.this.name
  virtual_network_name            = azurerm_virtual_network.this.name
  address_prefixes                = [local.nodes_cidr]
  default_outbound_access_enabled = false
  # Models bypass the NAT on their way to the storage account, which allows no other networks.
  service_endpoints = ["Microsoft.Storage"]
}

# The address that peers see as the region's.
resource "azurerm_public_ip" "nat" {
  name                = "${var.name}-nat"
  location            = var.location
  resource_group_name = azurerm_resource_group.this.name
  allocation_method   = "Static"
  sku                 = "Standard"
  tags                = var.tags
}

resource "azurerm_nat_gateway" "this" {
  name                    = var.name
  location                = var.location
  resource_group_name     = azurerm_resource_group.this.name
  sku_name                = "Standard"
  idle_timeout_in_minutes = 10
  tags                    = var.tags
}

resource "azurerm_nat_gateway_public_ip_association" "this" {
  nat_gateway_id       = azurerm_nat_gateway.this.id
  public_ip_address_id = azurerm_public_ip.nat.id
}

resource "azurerm_subnet_nat_gateway_association" "nodes" {
  subnet_id      = azurerm_subnet.nodes.id
  nat_gateway_id = azurerm_nat_gateway.this.id
}

# External traffic is denied unless a rule allows it. Rules for the mesh port are in peers/.
resource "azurerm_network_security_group" "nodes" {
  name                = "${var.name}-nodes"
  location            = var.location
  resource_group_name = azurerm_resource_group.this.name
  tags                = var.tags
}

# Before every deny rule. Pods' addresses are outside the virtual network, so its default rules
# don't cover them.
resource "azurerm_network_security_rule" "region" {
  for_each                    = toset(["Inbound", "Outbound"])
  name                        = "region-${lower(each.key)}"
  description                 = "regionmesh: nodes and pods of the region"
  resource_group_name         = azurerm_resource_group.this.name
  network_security_group_name = azurerm_network_security_group.nodes.name
  direction                   = each.key
  access                      = "Allow"
  priority                    = 280
  protocol                    = "*"
  source_address_prefix       = var.network_cidr
  source_port_range           = "*"
  destination_address_prefix  = var.network_cidr
  destination_port_range      = "*"
}

resource "azurerm_network_security_rule" "public" {
  for_each = merge(
    { serving = { priority = 400, protocol = "Tcp", ports = ["80", "8080"] } },
    contains(var.addresses, "dns") ? { dns = { priority = 410, protocol = "*", ports = ["53", "5300"] } } : {},
  )
  name                        = each.key
  description                 = "regionmesh: ${each.key}, for everybody"
  resource_group_name         = azurerm_resource_group.this.name
  network_security_group_name = azurerm_network_security_group.nodes.name
  direction                   = "Inbound"
  access                      = "Allow"
  priority                    = each.value.priority
  protocol                    = each.value.protocol
  source_address_prefix       = "Internet"
  source_port_range           = "*"
  destination_address_prefix  = "*"
  destination_port_ranges     = each.value.ports
}

resource "azurerm_subnet_network_security_group_association" "nodes" {
  subnet_id                 = azurerm_subnet.nodes.id
  network_security_group_id = azurerm_network_security_group.nodes.id
}

# Fixed addresses for the load balancers that Kubernetes creates; other regions and the parent zone
# use them.
resource "azurerm_public_ip" "service" {
  for_each            = var.addresses
  name                = "${var.name}-${each.value}"
  location            = var.location
  resource_group_name = azurerm_resource_group.this.name
  allocation_method   = "Static"
  sku                 = "Standard"
  zones               = ["1", "2", "3"]
  tags                = var.tags
  lifecycle {
    # Kubernetes tags those that it uses.
    ignore_changes = [tags]
  }
}
