# Storage accounts for models and logs, a registry for images.

locals {
  # Names are global, of at most 24 letters and digits: part of ours plus the subscription's hash.
  letters = substr(replace(var.name, "-", ""), 0, 11)
  hash    = substr(sha1("${data.azurerm_client_config.here.subscription_id} ${var.name}"), 0, 7)
}

resource "azurerm_storage_account" "this" {
  for_each                 = toset(["models", "logs"])
  name                     = "${local.letters}${each.value}${local.hash}"
  location                 = var.location
  resource_group_name      = azurerm_resource_group.this.name
  account_kind             = "StorageV2"
  account_tier             = "Standard"
  account_replication_type = "ZRS"
  tags                     = var.tags

  min_tls_version                   = "TLS1_2"
  https_traffic_only_enabled        = true
  allow_nested_items_to_be_public   = false
  cross_tenant_replication_enabled  = false
  local_user_enabled                = false
  infrastructure_encryption_enabled = true
  # Only by identity: an account key could do everything and never expires.
  shared_access_key_enabled       = false
  default_to_oauth_authentication = true

  network_rules {
    default_action             = "Deny"
    bypass                     = ["AzureServices", "Logging"]
    virtual_network_subnet_ids = [azurerm_subnet.nodes.id]
    # For an operator's backup. Storage accepts networks up to /30, and plain addresses for smaller
    # ones.
    ip_rules = [for cidr in var.cluster_access_cidrs : endswith(cidr, "/32") ? cidrhost(cidr, 0) : cidr if !endswith(cidr, "/31")]
  }

  blob_properties {
    versioning_enabled = true
    delete_retention_policy { days = 7 }
    container_delete_retention_policy { days = 7 }
  }
}

resource "azurerm_storage_container" "models" {
  name                  = "models"
  storage_account_id    = azurerm_storage_account.this["models"].id
  container_access_type = "private"
}

resource "azurerm_storage_container" "logs" {
  name                  = "logs"
  storage_account_id    = azurerm_storage_account.this["logs"].id
  container_access_type = "private"
}

resource "azurerm_storage_management_policy" "this" {
  for_each           = azurerm_storage_account.this
  storage_account_id = each.value.id

  # No rule deletes current model objects: the register's slots are among them, and an acceptor that
  # loses its slot loses its vote.
  rule {
    name    = "earlier-versions"
    enabled = true
    filters { blob_types = ["blockBlob"] }
    actions {
      version { delete_after_days_since_creation = 30 }
    }
  }

  dynamic "rule" {
    for_each = each.key == "logs" ? [1] : []
    content {
      name    = "old-logs"
      enabled = true
      filters { blob_types = ["blockBlob", "appendBlob"] }
      actions {
        base_blob { delete_after_days_since_modification_greater_than = var.log_retention_days }
      }
    }
  }
}

# Access logs of models.
resource "azurerm_monitor_diagnostic_setting" "models" {
  name               = "access"
  target_resource_id = "${azurerm_storage_account.this["models"].id}/blobServices/default"
  storage_account_id = azurerm_storage_account.this["logs"].id
  dynamic "enabled_log" {
    for_each = toset(["StorageRead", "StorageWrite", "StorageDelete"])
    content { category = enabled_log.value }
  }
}

resource "azurerm_container_registry" "this" {
  name                   = "${local.letters}${local.hash}"
  location               = var.location
  resource_group_name    = azurerm_resource_group.this.name
  sku                    = "Standard"
  admin_enabled          = false
  anonymous_pull_enabled = false
  tags                   = var.tags
}
