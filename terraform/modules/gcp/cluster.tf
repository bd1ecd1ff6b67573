# GKE: a regional control plane, private nodes, NetworkPolicies by Dataplane V2, workload identity.

resource "google_service_account" "node" {
  account_id   = "${local.short}-node"
  display_name = "${var.name}: nodes"
  depends_on   = [google_project_service.this]
}

# Only logs and metrics of the project.
resource "google_project_iam_member" "node" {
  project = var.project_id
  role    = "roles/container.defaultNodeServiceAccount"
  member  = "serviceAccount:${google_service_account.node.email}"
}

resource "google_container_cluster" "this" {
  name                = var.name
  location            = var.location
  min_master_version  = var.kubernetes_version
  deletion_protection = var.protect_data

  network           = google_compute_network.this.id
  subnetwork        = google_compute_subnetwork.nodes.id
  networking_mode   = "VPC_NATIVE"
  datapath_provider = "ADVANCED_DATAPATH"

  # The pools are separate resources.
  remove_default_node_pool = true
  initial_node_count       = 1

  enable_shielded_nodes       = true
  enable_intranode_visibility = true
  enable_legacy_abac          = false

  ip_allocation_policy {
    cluster_secondary_range_name  = "pods"
    services_secondary_range_name = "services"
  }

  private_cluster_config {
    enable_private_nodes    = true
    enable_private_endpoint = length(var.cluster_access_cidrs) == 0
  }

  # Empty: only from the network.
  master_authorized_networks_config {
    gcp_public_cidrs_access_enabled = false
    dynamic "cidr_blocks" {
      for_each = toset(var.cluster_access_cidrs)
      content { cidr_block = cidr_blocks.value }
    }
  }

  master_auth {
    client_certificate_config { issue_client_certificate = false }
  }

  workload_identity_config { workload_pool = "${var.project_id}.svc.id.goog" }
  release_channel { channel = "REGULAR" }

  # Upgrades run on working days, not at weekends.
  maintenance_policy {
    recurring_window {
      start_time = "2026-01-06T08:00:00Z"
      end_time   = "2026-01-06T14:00:00Z"
      recurrence = "FREQ=WEEKLY;BYDAY=TU,WE,TH"
    }
  }

  logging_config { enable_components = ["SYSTEM_COMPONENTS", "APISERVER", "CONTROLLER_MANAGER", "SCHEDULER"] }
  monitoring_config {
    enable_components = ["SYSTEM_COMPONENTS"]
    managed_prometheus { enabled = false }
  }
  security_posture_config {
    mode               = "BASIC"
    vulnerability_mode = "VULNERABILITY_DISABLED"
  }
  cost_management_config { enabled = true }
  node_pool_defaults {
    node_config_defaults { insecure_kubelet_readonly_port_enabled = "FALSE" }
  }

  # For the default pool that is removed right away: without it, its node would use another account.
  node_config {
    service_account = google_service_account.node.email
    oauth_scopes    = ["https://www.googleapis.com/auth/cloud-platform"]
    shielded_instance_config {
      enable_secure_boot          = true
      enable_integrity_monitoring = true
    }
    workload_metadata_config { mode = "GKE_METADATA" }
  }

  lifecycle { ignore_changes = [node_config, initial_node_count] }
  depends_on = [google_project_iam_member.node]
}

locals {
  # Agents are always on-demand. Model servers may use spot, with one permanent on-demand node.
  pools = merge(
    {
      agents = {
        machine = var.agent_machine, spot = false, gpu = false, min = var.agent_nodes, max = var.agent_nodes
        labels  = { "regionmesh.io/agent" = "true" }
      }
      serving = {
        machine = var.serving_machine, spot = false, gpu = false
        min     = var.use_spot_instances ? 1 : var.serving_nodes_min, max = var.serving_nodes_max
        labels  = { "regionmesh.io/serving" = "true" }
      }
    },
    var.use_spot_instances ? {
      spot = {
        machine = var.serving_machine, spot = true, gpu = false, min = var.serving_nodes_min, max = var.serving_nodes_max
        labels  = { "regionmesh.io/serving" = "true" }
      }
    } : {},
    var.enable_gpu ? {
      gpu = {
        machine = var.gpu_machine, spot = var.use_spot_instances, gpu = true, min = 0, max = var.gpu_nodes_max
        labels  = { "regionmesh.io/gpu" = "true" }
      }
    } : {},
  )
}

resource "google_container_node_pool" "this" {
  for_each = local.pools
  name     = each.key
  cluster  = google_container_cluster.this.id
  location = var.location

  # Count per zone of the regional pool. The autoscaler can't help agents: it adds nodes for pending
  # pods, but a DaemonSet creates pods only for existing nodes.
  node_count = each.key == "agents" ? ceil(each.value.min / 3) : null

  dynamic "autoscaling" {
    for_each = each.key == "agents" ? [] : [1]
    # Totals; the plain counts are per zone.
    content {
      total_min_node_count = each.value.min
      total_max_node_count = each.value.max
      location_policy      = each.value.spot ? "ANY" : "BALANCED"
    }
  }

  management {
    auto_repair  = true
    auto_upgrade = true
  }

  # Never two agents' nodes simultaneously.
  upgrade_settings {
    max_surge       = 1
    max_unavailable = 0
  }

  node_config {
    machine_type    = each.value.machine
    spot            = each.value.spot
    disk_size_gb    = 100
    disk_type       = "pd-balanced"
    image_type      = "COS_CONTAINERD"
    labels          = each.value.labels
    service_account = google_service_account.node.email
    # The account's roles restrict what it may do.
    oauth_scopes = ["https://www.googleapis.com/auth/cloud-platform"]
    metadata     = { disable-legacy-endpoints = "true" }

    shielded_instance_config {
      enable_secure_boot          = true
      enable_integrity_monitoring = true
    }
    workload_metadata_config { mode = "GKE_METADATA" }

    dynamic "guest_accelerator" {
      for_each = each.value.gpu ? [1] : []
      content {
        type  = var.gpu_type
        count = 1
        gpu_driver_installation_config { gpu_driver_version = "DEFAULT" }
      }
    }
    dynamic "taint" {
      for_each = each.value.gpu ? [1] : []
      content {
        key    = "nvidia.com/gpu"
        value  = "present"
        effect = "NO_SCHEDULE"
      }
    }
  }
}
