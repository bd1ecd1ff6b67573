# The mesh port of a region's nodes: open to the other regions' addresses, to nobody else. The rule that closes it outranks what
# Kubernetes opens for the load balancer.

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
  description = "Begins the rules' names: the region's."
  type        = string
}

variable "network" {
  description = "The network's id."
  type        = string
}

variable "peers" {
  description = "Addresses that agents come from, by a name for each."
  type        = map(string)
}

variable "mesh_port" {
  description = "UDP."
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
  description   = "regionmesh: mesh from nobody else"
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
  description = "Who may reach the mesh port."
  value       = google_compute_firewall.mesh.source_ranges
}
