# The mesh port of a region's nodes: open only to the other regions' addresses. The deny rule has
# precedence over what Kubernetes opens for the load balancer.

terraform {
  required_version = ">= 1.9.0"
  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 6.50"
    }
  }
}

variable "name" {
  description = "Prefix of the rules' names: the region's."
  type        = string
}

variable "network" {
  description = "The network's id."
  type        = string
}

variable "peers" {
  description = "The agents' egress addresses, each with a name."
  type        = map(string)
}

variable "mesh_port" {
  description = "UDP port of the mesh."
  type        = number
}

variable "network_cidr" {
  description = "The region's own network: its agents speak to each other."
  type        = string
}

resource "google_compute_firewall" "mesh" {
  name          = "${var.name}-mesh"
  description   = "regionmesh: mesh from the other regions"
  network       = var.network
  direction     = "INGRESS"
  priority      = 800
  source_ranges = concat([for address in values(var.peers) : "${address}/32"], [var.network_cidr])
  allow {
    protocol = "udp"
    ports    = [tostring(var.mesh_port)]
  }
}

resource "google_compute_firewall" "strangers" {
  name          = "${var.name}-mesh-strangers"
  description   = "regionmesh: no other mesh traffic"
  network       = var.network
  direction     = "INGRESS"
  priority      = 900
  source_ranges = ["0.0.0.0/0"]
  deny {
    protocol = "udp"
    ports    = [tostring(var.mesh_port)]
  }
  log_config { metadata = "EXCLUDE_ALL_METADATA" }
}

output "ingress" {
  description = "Sources that may reach the mesh port."
  value       = google_compute_firewall.mesh.source_ranges
}
