# The bill in FOCUS: Google writes it to a table (switched on by hand, no API does), a scheduled query copies it to a bucket, and agents
# read that. The bucket is one of its own, since BigQuery writes only to where the table is, and since the right to list is a bucket's.

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
  description = "Begins every name: project and environment."
  type        = string
}

variable "project_id" {
  description = "The GCP project; the table may be in another."
  type        = string
}

variable "table" {
  description = "The table, as project.dataset.table."
  type        = string
}

variable "location" {
  description = "Where the table's dataset is, and so the bucket."
  type        = string
}

variable "reader_accounts" {
  description = "The agents' service accounts, by region."
  type        = map(string)
}

variable "protect_data" {
  description = "Whether a bucket with something in it refuses to be destroyed."
  type        = bool
}

locals {
  source = split(".", var.table)
  bucket = "${var.name}-costs-${substr(sha1(var.project_id), 0, 8)}"

  # Charges of a month arrive until after its end. What a run writes takes the place of the last one's files, but nothing deletes those that
  # it does not write: rows are only ever added to the table, and sorted rows fill one file after the other, so there are never fewer.
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
  # Other things of the project may use them.
  disable_on_destroy = false
}

resource "google_storage_bucket" "costs" {
  #checkov:skip=CKV_GCP_62:what reads it is the agents; a bucket for its access logs would have to be in its location
  name                        = local.bucket
  location                    = upper(var.location)
  force_destroy               = !var.protect_data
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  versioning { enabled = true }
  # BigQuery's advice for buckets that it overwrites files in; versions are kept all the same.
  soft_delete_policy { retention_duration_seconds = 0 }

  # Reports don't need the files once they are imported: they are kept for as long as a report may go back, 13 months.
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

# Who runs the query: it reads this dataset and writes this bucket.
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
  description = "What agents poll: an entry of cost.exports."
  value       = { url = "gs://${google_storage_bucket.costs.name}/focus", options = {} }
}

output "query" {
  description = "What is exported."
  value       = google_bigquery_data_transfer_config.focus.params["query"]
}

output "readers" {
  description = "Who reads the bucket, by region."
  value       = { for region, reader in google_storage_bucket_iam_member.reader : region => reader.member }
}

output "public_storage" {
  description = "Whether anything of the bucket can be made public."
  value       = google_storage_bucket.costs.public_access_prevention != "enforced" || !google_storage_bucket.costs.uniform_bucket_level_access
}
