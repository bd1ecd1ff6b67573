# AKS: nodes in the subnet, NetworkPolicies enforced by Cilium, workload identity, Entra ID for
# people.

resource "azurerm_user_assigned_identity" "cluster" {
  name                = "${var.name}-cluster"
  location            = var.location
  resource_group_name = azurerm_resource_group.this.name
  tags                = var.tags
}

# The cluster's load balancers use the fixed addresses, its nodes the subnet.
resource "azurerm_role_assignment" "cluster_network" {
  scope                = azurerm_resource_group.this.id
  role_definition_name = "Network Contributor"
  principal_id         = azurerm_user_assigned_identity.cluster.principal_id
  principal_type       = "ServicePrincipal"
}

# The nodes' identity: only pulls images.
resource "azurerm_user_assigned_identity" "node" {
  name                = "${var.name}-node"
  location            = var.location
  resource_group_name = azurerm_resource_group.this.name
  tags                = var.tags
}

resource "azurerm_role_assignment" "cluster_node" {
  scope                = azurerm_user_assigned_identity.node.id
  role_definition_name = "Managed Identity Operator"
  principal_id         = azurerm_user_assigned_identity.cluster.principal_id
  principal_type       = "ServicePrincipal"
}

resource "azurerm_kubernetes_cluster" "this" {
  name                = var.name
  location            = var.location
  resource_group_name = azurerm_resource_group.this.name
  dns_prefix          = var.name
  kubernetes_version  = var.kubernetes_version
  sku_tier            = "Standard"
  tags                = var.tags

  # Terraform sets the version; patches and node images install automatically, on working days.
  automatic_upgrade_channel = "patch"
  node_os_upgrade_channel   = "NodeImage"

  oidc_issuer_enabled               = true
  workload_identity_enabled         = true
  local_account_disabled            = true
  role_based_access_control_enabled = true
  run_command_enabled               = false
  azure_policy_enabled              = true
  image_cleaner_enabled             = true
  image_cleaner_interval_hours      = 168
  private_cluster_enabled           = length(var.cluster_access_cidrs) == 0

  azure_active_directory_role_based_access_control {
    azure_rbac_enabled = true
    tenant_id          = data.azurerm_client_config.here.tenant_id
  }

  dynamic "api_server_access_profile" {
    for_each = length(var.cluster_access_cidrs) > 0 ? [1] : []
    # Nodes connect through the NAT.
    content { authorized_ip_ranges = concat(var.cluster_access_cidrs, ["${azurerm_public_ip.nat.ip_address}/32"]) }
  }

  identity {
    type         = "UserAssigned"
    identity_ids = [azurerm_user_assigned_identity.cluster.id]
  }

  kubelet_identity {
    client_id                 = azurerm_user_assigned_identity.node.client_id
    object_id                 = azurerm_user_assigned_identity.node.principal_id
    user_assigned_identity_id = azurerm_user_assigned_identity.node.id
  }

  network_profile {
    network_plugin      = "azure"
    network_plugin_mode = "overlay"
    network_data_plane  = "cilium"
    network_policy      = "cilium"
    outbound_type       = "userAssignedNATGateway"
    load_balancer_sku   = "standard"
    pod_cidr            = local.pods_cidr
    service_cidr        = local.services_cidr
    dns_service_ip      = cidrhost(local.services_cidr, 10)
  }

  # The agents' pool, always on-demand; system pods run here too.
  default_node_pool {
    name                        = "agents"
    temporary_name_for_rotation = "agentstmp"
    vm_size                     = var.agent_machine
    node_count                  = var.agent_nodes
    auto_scaling_enabled        = false
    zones                       = ["1", "2", "3"]
    vnet_subnet_id              = azurerm_subnet.nodes.id
    os_sku                      = "AzureLinux"
    os_disk_size_gb             = 100
    max_pods                    = 60
    node_labels                 = { "regionmesh.io/agent" = "true" }
    tags                        = var.tags
    # Never two agents' nodes simultaneously.
    upgrade_settings { max_surge = "1" }
  }

  oms_agent {
    log_analytics_workspace_id      = azurerm_log_analytics_workspace.this.id
    msi_auth_for_monitoring_enabled = true
  }

  key_vault_secrets_provider {
    secret_rotation_enabled = true
  }

  maintenance_window_auto_upgrade {
    frequency   = "Weekly"
    interval    = 1
    day_of_week = "Tuesday"
    start_time  = "08:00"
    utc_offset  = "+00:00"
    duration    = 6
  }
  maintenance_window_node_os {
    frequency   = "Weekly"
    interval    = 1
    day_of_week = "Wednesday"
    start_time  = "08:00"
    utc_offset  = "+00:00"
    duration    = 6
  }

  depends_on = [azurerm_role_assignment.cluster_network, azurerm_role_assignment.cluster_node, azurerm_subnet_nat_gateway_association.nodes, azurerm_nat_gateway_public_ip_association.this]
}

# The cluster's creator may use it; grant others roles like this one by hand.
resource "azurerm_role_assignment" "administrator" {
  scope                = azurerm_kubernetes_cluster.this.id
  role_definition_name = "Azure Kubernetes Service RBAC Cluster Admin"
  principal_id         = data.azurerm_client_config.here.object_id
}

locals {
  # Model servers may use spot, with one permanent on-demand node.
  pools = merge(
    {
      serving = {
        machine = var.serving_machine, spot = false, gpu = false, labels = { "regionmesh.io/serving" = "true" }, taints = []
        min     = var.use_spot_instances ? 1 : var.serving_nodes_min, max = var.serving_nodes_max
      }
    },
    var.use_spot_instances ? {
      spot = {
        machine = var.serving_machine, spot = true, gpu = false, labels = { "regionmesh.io/serving" = "true" }, taints = []
        min     = var.serving_nodes_min, max = var.serving_nodes_max
      }
    } : {},
    var.enable_gpu ? {
      gpu = {
        machine = var.gpu_machine, spot = var.use_spot_instances, gpu = true, labels = { "regionmesh.io/gpu" = "true" }, taints = ["nvidia.com/gpu=present:NoSchedule"]
        min     = 0, max = var.gpu_nodes_max
      }
    } : {},
  )
  # AKS adds both to spot nodes; leaving them out shows a difference in every plan.
  spot_label = { "kubernetes.azure.com/scalesetpriority" = "spot" }
  spot_taint = "kubernetes.azure.com/scalesetpriority=spot:NoSchedule"
}

resource "azurerm_kubernetes_cluster_node_pool" "this" {
  for_each              = local.pools
  name                  = each.key
  kubernetes_cluster_id = azurerm_kubernetes_cluster.this.id
  mode                  = "User"
  vm_size               = each.value.machine
  auto_scaling_enabled  = true
  min_count             = each.value.min
  max_count             = each.value.max
  zones                 = ["1", "2", "3"]
  vnet_subnet_id        = azurerm_subnet.nodes.id
  os_sku                = "AzureLinux"
  os_disk_size_gb       = 100
  max_pods              = 60
  priority              = each.value.spot ? "Spot" : "Regular"
  eviction_policy       = each.value.spot ? "Delete" : null
  # At most the on-demand price.
  spot_max_price = each.value.spot ? -1 : null
  node_labels    = merge(each.value.labels, each.value.spot ? local.spot_label : {})
  node_taints    = concat(each.value.taints, each.value.spot ? [local.spot_taint] : [])
  tags           = var.tags

  dynamic "upgrade_settings" {
    for_each = each.value.spot ? [] : [1]
    content { max_surge = "1" }
  }
  lifecycle {
    # The autoscaler's.
    ignore_changes = [node_count]
  }
}

resource "azurerm_log_analytics_workspace" "this" {
  name                = var.name
  location            = var.location
  resource_group_name = azurerm_resource_group.this.name
  sku                 = "PerGB2018"
  retention_in_days   = var.log_retention_days
  # Caps the bill for a pod that logs endlessly.
  daily_quota_gb = 10
  tags           = var.tags
}

resource "azurerm_monitor_diagnostic_setting" "cluster" {
  name                       = "control-plane"
  target_resource_id         = azurerm_kubernetes_cluster.this.id
  log_analytics_workspace_id = azurerm_log_analytics_workspace.this.id
  dynamic "enabled_log" {
    for_each = toset(["kube-apiserver", "kube-audit-admin", "kube-controller-manager", "guard"])
    content { category = enabled_log.value }
  }
}
