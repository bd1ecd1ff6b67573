# The FOCUS bill: Google writes it to a table (enabled by hand, without an API), a scheduled query
# copies it to a bucket, and agents read the bucket. It needs its own bucket because BigQuery writes
# only to the table's location, and list permission applies to a whole bucket.

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
  description = "Prefix of every name: project and environment."
  type        = string
}

variable "project_id" {
  description = "The GCP project; the table may be in another."
  type        = string
}

variable "table" {
  description = "The billing table, as project.dataset.table."
  type        = string
}

variable "location" {
  description = "Location of the table's dataset and of the bucket."
  type        = string
}

variable "reader_accounts" {
  description = "The agents' service accounts, by region."
  type        = map(string)
}

variable "protect_data" {
  description = "Whether a bucket that is not empty can't be destroyed."
  type        = bool
}

locals {
  source = split(".", var.table)
  bucket = "${var.name}-costs-${substr(sha1(var.project_id), 0, 8)}"

  # A month's charges keep arriving after its end. A run overwrites the previous run's files but
  # deletes none. That is safe: rows are only added to the table, and sorted rows fill file after
  # file, so a later run never writes fewer files.
  query = <<-SQL
    FOR month IN (SELECT DATE_SUB(DATE_TRUNC(CURRENT_DATE(), MONTH), INTERVAL ago MONTH) AS first FROM UNNEST([0, 1, 2]) AS ago) DO
      EXECUTE IMMEDIATE FORMAT("""
        EXPORT DATA OPTIONS (uri = 'gs://${local.bucket}/focus/%s/*.parquet', format = 'PARQUET', compression = 'SNAPPY', overwrite = true) AS
        SELECT * REPLACE (TO_JSON_STRING(Tags) AS Tags) FROM `${var.table}`
        WHERE DATE_TRUNC(DATE(BillingPeriodStart), MONTH) = DATE '%t' ORDER BY ChargePeriodStart
      """, FORMAT_DATE('%Y-%m', month.first), month.first);
    END FOR;
  SQL
}

resource "google_project_service" "this" {
  for_each = toset(["bigquery", "bigquerydatatransfer"])
  project  = var.project_id
  service  = "${each.value}.googleapis.com"
  # Others in the project may use them.
  disable_on_destroy = false
}

resource "google_storage_bucket" "costs" {
  #checkov:skip=CKV_GCP_62:only agents read it; a log bucket would have to be in its location
  name                        = local.bucket
  location                    = upper(var.location)
  force_destroy               = !var.protect_data
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  versioning { enabled = true }
  # BigQuery recommends this for buckets in which it overwrites files; versions are still kept.
  soft_delete_policy { retention_duration_seconds = 0 }

  # Reports don't need files after import; they are kept for 13 months, the longest report.
  lifecycle_rule {
    action { type = "Delete" }
    condition { age = 400 }
  }
  lifecycle_rule {
    action { type = "Delete" }
    condition {
      days_since_noncurrent_time = 30
      with_state                 = "ARCHIVED"
    }
  }
}

# Runs the query: reads this dataset and writes this bucket.
resource "google_service_account" "exporter" {
  account_id   = "${substr(var.name, 0, 14)}-${substr(sha1(var.name), 0, 6)}-costs"
  display_name = "${var.name}: billing export"
}

resource "google_project_iam_member" "exporter" {
  project = var.project_id
  role    = "roles/bigquery.jobUser"
  member  = "serviceAccount:${google_service_account.exporter.email}"
}

resource "google_bigquery_dataset_iam_member" "exporter" {
  project    = local.source[0]
  dataset_id = local.source[1]
  role       = "roles/bigquery.dataViewer"
  member     = "serviceAccount:${google_service_account.exporter.email}"
}

resource "google_storage_bucket_iam_member" "exporter" {
  bucket = google_storage_bucket.costs.name
  role   = "roles/storage.objectUser"
  member = "serviceAccount:${google_service_account.exporter.email}"
}

resource "google_storage_bucket_iam_member" "reader" {
  for_each = var.reader_accounts
  bucket   = google_storage_bucket.costs.name
  role     = "roles/storage.objectViewer"
  member   = "serviceAccount:${each.value}"
}

resource "google_bigquery_data_transfer_config" "focus" {
  project              = var.project_id
  display_name         = "${var.name}-focus"
  data_source_id       = "scheduled_query"
  location             = var.location
  schedule             = "every day 06:00"
  service_account_name = google_service_account.exporter.email
  params               = { query = local.query }
  depends_on = [
    google_project_service.this, google_project_iam_member.exporter, google_bigquery_dataset_iam_member.exporter, google_storage_bucket_iam_member.exporter,
  ]
}

output "export" {
  description = "What agents poll, as an entry of cost.exports."
  value       = { url = "gs://${google_storage_bucket.costs.name}/focus", options = {} }
}

output "query" {
  description = "The exported query."
  value       = google_bigquery_data_transfer_config.focus.params["query"]
}

output "readers" {
  description = "Readers of the bucket, by region."
  value       = { for region, reader in google_storage_bucket_iam_member.reader : region => reader.member }
}

output "public_storage" {
  description = "Whether anything of the bucket can be made public."
  value       = google_storage_bucket.costs.public_access_prevention != "enforced" || !google_storage_bucket.costs.uniform_bucket_level_access
}
