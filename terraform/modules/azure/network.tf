# A virtual network with one subnet for nodes: no public addresses of their own, a NAT gateway with a fixed one.

data "azurerm_client_config" "here" {}

resource "azurerm_resource_group" "this" {
  name     = var.name
  location = var.location
  tags     = var.tags
}

# Parts of what the region has. The virtual network is the nodes' alone: pods and services must not be inside it.
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
  # Models go to the storage account without passing the NAT, and the account lets in nobody else.
  service_endpoints = ["Microsoft.Storage"]
}

# The region's address for its peers.
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

# What comes from outside is refused unless a rule lets it in. Those of the mesh port are in peers/.
resource "azurerm_network_security_group" "nodes" {
  name                = "${var.name}-nodes"
  location            = var.location
  resource_group_name = azurerm_resource_group.this.name
  tags                = var.tags
}

# Before every denial. Pods' addresses are not the virtual network's, so that the default rules for it are not theirs.
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

# Fixed addresses of the load balancers that Kubernetes makes: other regions and the parent zone name them.
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
    # Kubernetes marks those that it uses.
    ignore_changes = [tags]
  }
}
