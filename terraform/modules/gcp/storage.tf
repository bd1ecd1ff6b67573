# Buckets for models and logs, a registry for images.

locals {
  # Bucket names are global: the project ID makes them unique.
  buckets = { for kind in ["models", "logs"] : kind => "${var.name}-${kind}-${substr(sha1(var.project_id), 0, 8)}" }
}

resource "google_storage_bucket" "this" {
  for_each                    = local.buckets
  name                        = each.value
  location                    = upper(var.location)
  storage_class               = "STANDARD"
  force_destroy               = !var.protect_data
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  versioning { enabled = true }
  soft_delete_policy { retention_duration_seconds = 604800 }

  # No rule deletes current model objects: the register's slots are among them, and an acceptor that
  # loses its slot loses its vote.
  lifecycle_rule {
    action { type = "Delete" }
    condition {
      days_since_noncurrent_time = 30
      with_state                 = "ARCHIVED"
    }
  }
  lifecycle_rule {
    action { type = "AbortIncompleteMultipartUpload" }
    condition { age = 7 }
  }
  dynamic "lifecycle_rule" {
    for_each = each.key == "logs" ? [1] : []
    content {
      action { type = "Delete" }
      condition {
        age        = var.log_retention_days
        with_state = "LIVE"
      }
    }
  }

  dynamic "logging" {
    for_each = each.key == "logs" ? [] : [1]
    content {
      log_bucket        = local.buckets["logs"]
      log_object_prefix = "access/models"
    }
  }
  depends_on = [google_project_service.this]
}

resource "google_storage_bucket_iam_member" "access_logs" {
  bucket = google_storage_bucket.this["logs"].name
  role   = "roles/storage.objectCreator"
  # Google's writer of access logs.
  member = "group:cloud-storage-analytics@google.com"
}

resource "google_artifact_registry_repository" "this" {
  repository_id = var.name
  location      = var.location
  format        = "DOCKER"
  docker_config { immutable_tags = true }
  vulnerability_scanning_config { enablement_config = "INHERITED" }

  cleanup_policies {
    id     = "untagged"
    action = "DELETE"
    condition {
      tag_state  = "UNTAGGED"
      older_than = "1209600s"
    }
  }
  cleanup_policies {
    id     = "recent"
    action = "KEEP"
    most_recent_versions { keep_count = 50 }
  }
  depends_on = [google_project_service.this]
}

resource "google_artifact_registry_repository_iam_member" "node" {
  repository = google_artifact_registry_repository.this.name
  location   = var.location
  role       = "roles/artifactregistry.reader"
  member     = "serviceAccount:${google_service_account.node.email}"
}
