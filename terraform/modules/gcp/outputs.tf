# What other modules, the manifests and operators need from the region. Same names as in the other
# clouds' modules.

locals {
  registry = "${var.location}-docker.pkg.dev/${var.project_id}/${google_artifact_registry_repository.this.repository_id}/regionmesh"
}

output "egress_addresses" {
  description = "Egress addresses of the region's nodes."
  value       = [for address in google_compute_address.nat : address.address]
}

output "addresses" {
  description = "Fixed public address of each service."
  value       = { for service, address in google_compute_address.service : service => address.address }
}

output "network" {
  description = "The network's id."
  value       = google_compute_network.this.id
}

output "issuer" {
  description = "Issuer of the service accounts' tokens."
  value       = "https://container.googleapis.com/v1/projects/${var.project_id}/locations/${var.location}/clusters/${google_container_cluster.this.name}"
}

output "store_url" {
  description = "The region's store, as object_store reads it."
  value       = "gs://${google_storage_bucket.this["models"].name}/mesh"
}

output "agent_account" {
  description = "The agents' service account."
  value       = google_service_account.workload["agent"].email
}

output "log_bucket" {
  description = "The bucket for logs."
  value       = google_storage_bucket.this["logs"].name
}

output "registry" {
  description = "The image repository to push to."
  value       = local.registry
}

output "kubectl" {
  description = "The command that creates a kubectl context for the cluster."
  value       = "gcloud container clusters get-credentials ${google_container_cluster.this.name} --region ${var.location} --project ${var.project_id}"
}

output "context" {
  description = "The name of that context."
  value       = "gke_${var.project_id}_${var.location}_${google_container_cluster.this.name}"
}

output "region_env" {
  description = "overlays/REGION/region.env: the region's own settings."
  value = {
    REGION            = var.region
    STORE_URL         = "gs://${google_storage_bucket.this["models"].name}/mesh"
    TRITON_REPOSITORY = "gs://${google_storage_bucket.this["models"].name}/mesh/models"
  }
}

output "cloud_env" {
  description = "overlays/REGION/cloud.env: names assigned by GCP."
  value = merge({
    AGENT_ROLE   = google_service_account.workload["agent"].email
    SERVING_ROLE = google_service_account.workload["serving"].email
  }, { for service, address in google_compute_address.service : "${upper(service)}_ADDRESS" => address.address })
}

output "capacity" {
  description = "Capacity type of each node pool: ON_DEMAND or SPOT."
  value       = { for name, pool in google_container_node_pool.this : name => pool.node_config[0].spot ? "SPOT" : "ON_DEMAND" }
}

output "public_storage" {
  description = "Whether anything of a bucket can be made public."
  value       = !alltrue([for bucket in google_storage_bucket.this : bucket.public_access_prevention == "enforced" && bucket.uniform_bucket_level_access])
}

output "api_open_to" {
  description = "Networks that may reach the cluster's API, besides its own."
  value       = google_container_cluster.this.private_cluster_config[0].enable_private_endpoint ? tolist([]) : var.cluster_access_cidrs
}
