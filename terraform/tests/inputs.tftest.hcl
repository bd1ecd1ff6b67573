# Every rejected input; nothing is created.

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

run "each_with_a_fault" {
  command = plan
  variables {
    project_name          = "regionmesh-platform"
    environment           = "pre-prod"
    domain_name           = "example"
    mesh_subdomain        = "a.b"
    gcp_project_id        = null
    azure_subscription_id = null
    kubernetes_version    = "1.27"
    dns_mode              = "route53"
    routing_policy        = "weighted"
    route53_zone_id       = "example.com"
    cluster_access_cidrs  = ["0.0.0.0/0"]
    log_retention_days    = 45
    gpu_nodes_max         = 0
    eks_addons            = ["unheard-of"]
    gcp_focus_export      = { table = "dataset.table", location = "EU" }
  }
  expect_failures = [var.project_name, var.environment, var.domain_name, var.mesh_subdomain, var.gcp_project_id, var.azure_subscription_id, var.kubernetes_version, var.dns_mode, var.routing_policy, var.route53_zone_id, var.cluster_access_cidrs, var.log_retention_days, var.gpu_nodes_max, var.eks_addons, var.gcp_focus_export]
}

run "each_with_another" {
  command = plan
  variables {
    domain_name           = "example.com."
    gcp_project_id        = "123456789012"
    azure_subscription_id = "prod"
    cluster_access_cidrs  = ["office"]
    project_name          = "9regions"
    gcp_focus_export      = { table = "some-project.dataset.table", location = "Europe" }
  }
  expect_failures = [var.domain_name, var.gcp_project_id, var.azure_subscription_id, var.cluster_access_cidrs, var.project_name, var.gcp_focus_export]
}

run "no_region" {
  command = plan
  variables {
    regions = {}
  }
  expect_failures = [var.regions]
}

run "region_named_in_capitals" {
  command = plan
  variables {
    regions = { One = { cloud = "aws", location = "us-west-2", network_cidr = "10.16.0.0/16" } }
  }
  expect_failures = [var.regions]
}

run "unknown_cloud" {
  command = plan
  variables {
    regions = { one = { cloud = "ibm", location = "us-west-2", network_cidr = "10.16.0.0/16" } }
  }
  expect_failures = [var.regions]
}

run "network_too_small" {
  command = plan
  variables {
    regions = { one = { cloud = "aws", location = "us-west-2", network_cidr = "10.16.0.0/20" } }
  }
  expect_failures = [var.regions]
}

run "bills_that_no_agent_could_read" {
  command = plan
  variables {
    regions          = { one = { cloud = "aws", location = "us-west-2", network_cidr = "10.16.0.0/16" } }
    gcp_focus_export = { table = "some-project.dataset.table", location = "EU" }
  }
  expect_failures = [var.gcp_focus_export]
}

run "networks_alike" {
  command = plan
  variables {
    regions = { one = { cloud = "aws", location = "us-west-2", network_cidr = "10.16.0.0/16" }, two = { cloud = "aws", location = "us-west-2", network_cidr = "10.16.0.0/16" } }
  }
  expect_failures = [var.regions]
}

run "slots_alike" {
  command = plan
  variables {
    regions = { one = { cloud = "aws", location = "us-west-2", network_cidr = "10.16.0.0/16" }, two = { cloud = "aws", location = "eu-west-1", network_cidr = "10.32.0.0/16" } }
  }
  expect_failures = [var.regions]
}

run "slot_that_is_none" {
  command = plan
  variables {
    regions = { one = { cloud = "aws", location = "us-west-2", network_cidr = "10.16.0.0/16", slot = 3 } }
  }
  expect_failures = [var.regions]
}

run "weight_above_100" {
  command = plan
  variables {
    regions = { one = { cloud = "aws", location = "us-west-2", network_cidr = "10.16.0.0/16", weight = 101 } }
  }
  expect_failures = [var.regions]
}

run "fewer_at_most_than_at_least" {
  command = plan
  variables {
    regions = { one = { cloud = "aws", location = "us-west-2", network_cidr = "10.16.0.0/16", serving_nodes_min = 5, serving_nodes_max = 4 } }
  }
  expect_failures = [var.regions]
}
