# Values that GCP would generate.

mock_resource "google_compute_address" {
  defaults = { address = "34.90.1.1", self_link = "https://www.googleapis.com/compute/v1/mocked" }
}

mock_resource "google_service_account" {
  defaults = { email = "mocked@mocked-project.iam.gserviceaccount.com", name = "projects/mocked-project/serviceAccounts/mocked" }
}
