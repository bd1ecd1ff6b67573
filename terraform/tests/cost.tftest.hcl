# Billing exports: off by default, one per cloud, readable by that cloud's agents only.

mock_provider "aws" {
  source = "./tests/mocks/aws"
}
mock_provider "aws" {
  alias  = "second"
  source = "./tests/mocks/aws"
}
mock_provider "aws" {
  alias  = "third"
  source = "./tests/mocks/aws"
}
mock_provider "aws" {
  alias  = "global"
  source = "./tests/mocks/aws"
}
mock_provider "google" {
  source = "./tests/mocks/google"
}
mock_provider "azurerm" {
  source = "./tests/mocks/azurerm"
}

variables {
  environment           = "test"
  domain_name           = "example.com"
  gcp_project_id        = "some-project"
  azure_subscription_id = "00000000-0000-0000-0000-000000000001"
}

run "three_clouds" {
  variables {
    enable_cost_exports = true
    gcp_focus_export    = { table = "billing-project.gcp_billing_immutable_010101_F0FFF0_61C528_eu.gcp_billing_export_focus_010101_F0FFF0_61C528", location = "EU" }
  }
  assert {
    condition     = toset(keys(output.cost_exports)) == toset(["aws", "gcp", "azure"])
    error_message = "one export per cloud"
  }
  assert {
    condition     = output.cost_exports["aws"].url == "s3://${module.aws_first["us-west-2"].log_bucket}/focus" && output.cost_exports["aws"].options["aws_region"] == "us-west-2"
    error_message = "AWS: below focus/ of the region's log bucket"
  }
  assert {
    condition     = startswith(output.cost_exports["gcp"].url, "gs://regionmesh-test-costs-") && endswith(output.cost_exports["gcp"].url, "/focus") && module.gcp_cost["eu-west-1"].public_storage == false
    error_message = "GCP: a separate bucket, not public"
  }
  assert {
    condition     = output.cost_exports["azure"].url == "azure://logs/focus" && output.cost_exports["azure"].options["azure_storage_account_name"] == module.azure["ap-south-1"].log_bucket
    error_message = "Azure: names the account, because the agents' environment names the models' account"
  }
  assert {
    condition = length(regexall("\\[\\[cost\\.exports\\]\\]", output.kubernetes_settings["base/agent/mesh.toml"])) == 3 && strcontains(output.kubernetes_settings["base/agent/mesh.toml"],
    "\n[[cost.exports]]\nurl = \"${output.cost_exports["aws"].url}\"\noptions = { aws_region = \"us-west-2\" }\n")
    error_message = "the agents' configuration lists them"
  }
  assert {
    condition     = startswith(module.aws_cost["us-west-2"].query, "SELECT AvailabilityZone, BilledCost,") && endswith(module.aws_cost["us-west-2"].query, ", Tags FROM FOCUS_1_0_AWS") && length(split(", ", module.aws_cost["us-west-2"].query)) == 43
    error_message = "AWS: every column of FOCUS 1.0"
  }
  assert {
    condition     = strcontains(module.gcp_cost["eu-west-1"].query, "FROM `billing-project.gcp_billing_immutable_010101_F0FFF0_61C528_eu.gcp_billing_export_focus_010101_F0FFF0_61C528`") && strcontains(module.gcp_cost["eu-west-1"].query, "uri = '${output.cost_exports["gcp"].url}/%s/*.parquet'")
    error_message = "GCP: the table is copied to the agents' bucket, each month to its own folder"
  }
  assert {
    condition     = module.aws_cost["us-west-2"].readers == { us-west-2 = "regionmesh-test-us-west-2-agent" } && module.gcp_cost["eu-west-1"].readers == { eu-west-1 = "serviceAccount:mocked@mocked-project.iam.gserviceaccount.com" }
    error_message = "the agents of the cloud read its export"
  }
  assert {
    condition = { for kind, request in output.azure_cost_exports : kind => request.properties.definition.timeframe } == { daily = "MonthToDate", monthly = "TheLastMonth" } && alltrue([for request in values(output.azure_cost_exports) :
    request.properties.definition.type == "FocusCost" && request.properties.deliveryInfo.destination.rootFolderPath == "focus" && request.location == "centralindia"])
    error_message = "Azure: the requests that azurerm can't make"
  }
}

run "one_export_for_all_regions_of_a_cloud" {
  command = plan
  variables {
    enable_cost_exports = true
    regions = {
      us-west-2    = { cloud = "aws", location = "us-west-2", network_cidr = "10.16.0.0/16", priority = 2 }
      eu-central-1 = { cloud = "aws", location = "eu-central-1", slot = 1, network_cidr = "10.64.0.0/16", priority = 1 }
      eu-west-1    = { cloud = "gcp", location = "europe-west1", network_cidr = "10.32.0.0/16", priority = 0, latency_region = "eu-west-1" }
    }
  }
  assert {
    condition     = keys(module.aws_cost) == ["us-west-2"] && toset(keys(module.aws_cost["us-west-2"].readers)) == toset(["us-west-2", "eu-central-1"])
    error_message = "the first slot's bucket receives it, agents of all the cloud's regions read it"
  }
  assert {
    condition     = length(module.gcp_cost) == 0 && toset(keys(output.cost_exports)) == toset(["aws"]) && length(output.azure_cost_exports) == 0
    error_message = "GCP: no copy without a table; no export for a cloud without a region"
  }
}
