# What other modules, the manifests and operators need from the region. Same names as in the other
# clouds' modules.

locals {
  models = azurerm_storage_account.this["models"].name
}

output "egress_addresses" {
  description = "Egress addresses of the region's nodes."
  value       = [azurerm_public_ip.nat.ip_address]
}

output "addresses" {
  description = "Fixed public address of each service."
  value       = { for service, address in azurerm_public_ip.service : service => address.ip_address }
}

output "security_group" {
  description = "The nodes' network security group."
  value       = azurerm_network_security_group.nodes.name
}

output "resource_group" {
  description = "The region's resource group."
  value       = azurerm_resource_group.this.name
}

output "issuer" {
  description = "Issuer of the service accounts' tokens."
  value       = azurerm_kubernetes_cluster.this.oidc_issuer_url
}

output "store_url" {
  description = "The region's store, as object_store reads it."
  value       = "azure://${azurerm_storage_container.models.name}/mesh"
}

output "log_bucket" {
  description = "The account for logs and billing exports."
  value       = azurerm_storage_account.this["logs"].name
}

output "log_account_id" {
  description = "Its id."
  value       = azurerm_storage_account.this["logs"].id
}

output "log_container" {
  description = "The container for logs and billing exports."
  value       = azurerm_storage_container.logs.name
}

output "registry" {
  description = "The image repository to push to."
  value       = "${azurerm_container_registry.this.login_server}/regionmesh"
}

output "kubectl" {
  description = "The command that creates a kubectl context for the cluster."
  value       = "az aks get-credentials --resource-group ${azurerm_resource_group.this.name} --name ${azurerm_kubernetes_cluster.this.name} --context ${var.name} && kubelogin convert-kubeconfig -l azurecli"
}

output "context" {
  description = "The name of that context."
  value       = var.name
}

output "region_env" {
  description = "overlays/REGION/region.env: the region's own settings."
  value = {
    REGION                     = var.region
    STORE_URL                  = "azure://${azurerm_storage_container.models.name}/mesh"
    AZURE_STORAGE_ACCOUNT_NAME = local.models
    TRITON_REPOSITORY          = "as://${local.models}/${azurerm_storage_container.models.name}/mesh/models"
  }
}

output "cloud_env" {
  description = "overlays/REGION/cloud.env: names assigned by Azure."
  value = merge({
    AGENT_ROLE    = azurerm_user_assigned_identity.workload["agent"].client_id
    SERVING_ROLE  = azurerm_user_assigned_identity.workload["serving"].client_id
    ADDRESS_GROUP = azurerm_resource_group.this.name
  }, { for service, address in azurerm_public_ip.service : "${upper(service)}_ADDRESS_NAME" => address.name })
}

output "capacity" {
  description = "Capacity type of each node pool: ON_DEMAND or SPOT."
  value       = merge({ agents = "ON_DEMAND" }, { for name, pool in azurerm_kubernetes_cluster_node_pool.this : name => pool.priority == "Spot" ? "SPOT" : "ON_DEMAND" })
}

output "public_storage" {
  description = "Whether anything of a storage account can be made public."
  value       = anytrue([for account in azurerm_storage_account.this : account.allow_nested_items_to_be_public]) || azurerm_storage_container.models.container_access_type != "private"
}

output "api_open_to" {
  description = "Networks that may reach the cluster's API, besides its own."
  value       = azurerm_kubernetes_cluster.this.private_cluster_enabled ? tolist([]) : var.cluster_access_cidrs
}
