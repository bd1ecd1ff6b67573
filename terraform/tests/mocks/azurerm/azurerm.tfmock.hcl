# Values that Azure would generate.

mock_data "azurerm_client_config" {
  defaults = {
    subscription_id = "00000000-0000-0000-0000-000000000001"
    tenant_id       = "00000000-0000-0000-0000-000000000002"
    object_id       = "00000000-0000-0000-0000-000000000003"
  }
}

mock_resource "azurerm_public_ip" {
  defaults = { ip_address = "20.40.1.1" }
}

mock_resource "azurerm_kubernetes_cluster" {
  defaults = {
    oidc_issuer_url = "https://centralindia.oic.prod-aks.azure.com/mocked/"
  }
}

mock_resource "azurerm_container_registry" {
  defaults = { login_server = "mocked.azurecr.io" }
}
