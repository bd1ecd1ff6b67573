# A network with one subnet over all zones: nodes without public addresses, Cloud NAT with fixed ones.

resource "google_project_service" "this" {
  for_each = toset(["artifactregistry", "compute", "container", "iam", "iamcredentials", "storage"])
  project  = var.project_id
  service  = "${each.value}.googleapis.com"
  # Others in the project may use them.
  disable_on_destroy = false
}

resource "google_compute_network" "this" {
  name                    = var.name
  auto_create_subnetworks = false
  routing_mode            = "REGIONAL"
  depends_on              = [google_project_service.this]
}

resource "google_compute_subnetwork" "nodes" {
  name          = "${var.name}-nodes"
  region        = var.location
  network       = google_compute_network.this.id
  ip_cidr_range = cidrsubnet(var.network_cidr, 4, 0)
  # Models bypass the NAT on their way to the bucket.
  private_ip_google_access = true

  secondary_ip_range {
    range_name    = "pods"
    ip_cidr_range = cidrsubnet(var.network_cidr, 1, 1)
  }
  secondary_ip_range {
    range_name    = "services"
    ip_cidr_range = cidrsubnet(var.network_cidr, 4, 1)
  }

  log_config {
    aggregation_interval = "INTERVAL_1_MIN"
    flow_sampling        = 0.1
    metadata             = "INCLUDE_ALL_METADATA"
  }
}

# Fixed, because other regions allow only these.
resource "google_compute_address" "nat" {
  for_each = toset(["0", "1"])
  name     = "${var.name}-nat-${each.value}"
  region   = var.location
}

resource "google_compute_router" "this" {
  name    = var.name
  region  = var.location
  network = google_compute_network.this.id
}

resource "google_compute_router_nat" "this" {
  name                               = var.name
  region                             = var.location
  router                             = google_compute_router.this.name
  nat_ip_allocate_option             = "MANUAL_ONLY"
  nat_ips                            = [for address in google_compute_address.nat : address.self_link]
  source_subnetwork_ip_ranges_to_nat = "ALL_SUBNETWORKS_ALL_IP_RANGES"
  # A mesh connection keeps its port: agents ping every few seconds; the rest covers short outages.
  enable_endpoint_independent_mapping = true
  udp_idle_timeout_sec                = 120
  # Ports per node, shared by its pods. The default of 64 is too low for a node that fetches a
  # model. Enough for 62 nodes.
  min_ports_per_vm = 2048

  log_config {
    enable = true
    filter = "ERRORS_ONLY"
  }
}

# Fixed addresses for the load balancers that Kubernetes creates; other regions and the parent zone
# use them.
resource "google_compute_address" "service" {
  for_each     = var.addresses
  name         = "${var.name}-${each.value}"
  region       = var.location
  address_type = "EXTERNAL"
  network_tier = "PREMIUM"
}
