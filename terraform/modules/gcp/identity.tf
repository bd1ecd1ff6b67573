# Workload accounts (Workload Identity): only the cluster's service account may act as its account.

locals {
  # Account IDs have at most 30 characters.
  short = "${substr(var.name, 0, 14)}-${substr(sha1(var.name), 0, 6)}"
  service_accounts = {
    agent   = "regionmesh/regionmesh-agent"
    serving = "regionmesh/regionmesh-serving"
  }
}

resource "google_service_account" "workload" {
  for_each     = local.service_accounts
  account_id   = "${local.short}-${each.key}"
  display_name = "${var.name}: ${each.key}"
  depends_on   = [google_project_service.this]
}

resource "google_service_account_iam_member" "workload" {
  for_each           = local.service_accounts
  service_account_id = google_service_account.workload[each.key].name
  role               = "roles/iam.workloadIdentityUser"
  member             = "serviceAccount:${var.project_id}.svc.id.goog[${each.value}]"
  # The identity pool exists once a cluster uses it.
  depends_on = [google_container_cluster.this]
}

# Agents write models and the register's slots; servers read models.
resource "google_storage_bucket_iam_member" "models" {
  for_each = { agent = "roles/storage.objectUser", serving = "roles/storage.objectViewer" }
  bucket   = google_storage_bucket.this["models"].name
  role     = each.value
  member   = "serviceAccount:${google_service_account.workload[each.key].email}"
}
