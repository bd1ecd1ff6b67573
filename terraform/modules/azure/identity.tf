# Workload identities: only the cluster's service account may exchange its token for one.

locals {
  service_accounts = {
    agent   = "system:serviceaccount:regionmesh:regionmesh-agent"
    serving = "system:serviceaccount:regionmesh:regionmesh-serving"
  }
}

resource "azurerm_user_assigned_identity" "workload" {
  for_each            = local.service_accounts
  name                = "${var.name}-${each.key}"
  location            = var.location
  resource_group_name = azurerm_resource_group.this.name
  tags                = var.tags
}

resource "azurerm_federated_identity_credential" "workload" {
  for_each            = local.service_accounts
  name                = each.key
  resource_group_name = azurerm_resource_group.this.name
  parent_id           = azurerm_user_assigned_identity.workload[each.key].id
  issuer              = azurerm_kubernetes_cluster.this.oidc_issuer_url
  subject             = each.value
  audience            = ["api://AzureADTokenExchange"]
}

# Agents write models and the register's slots; servers read models.
resource "azurerm_role_assignment" "models" {
  for_each             = { agent = "Storage Blob Data Contributor", serving = "Storage Blob Data Reader" }
  scope                = azurerm_storage_container.models.id
  role_definition_name = each.value
  principal_id         = azurerm_user_assigned_identity.workload[each.key].principal_id
  principal_type       = "ServicePrincipal"
}

# The subscription's bill.
resource "azurerm_role_assignment" "focus" {
  count                = var.takes_cost_exports ? 1 : 0
  scope                = azurerm_storage_container.logs.id
  role_definition_name = "Storage Blob Data Reader"
  principal_id         = azurerm_user_assigned_identity.workload["agent"].principal_id
  principal_type       = "ServicePrincipal"
}

resource "azurerm_role_assignment" "pull" {
  scope                = azurerm_container_registry.this.id
  role_definition_name = "AcrPull"
  principal_id         = azurerm_user_assigned_identity.node.principal_id
  principal_type       = "ServicePrincipal"
}
