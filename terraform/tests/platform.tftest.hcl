# The whole platform with mock providers: what it must contain and what it must not.

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
  assert {
    condition     = toset(keys(output.contexts)) == toset(["us-west-2", "eu-west-1", "ap-south-1"])
    error_message = "every region is created once"
  }
  assert {
    condition     = module.aws_first["us-west-2"].capacity["agents"] == "ON_DEMAND" && !contains(keys(module.aws_first["us-west-2"].capacity), "spot")
    error_message = "without use_spot_instances nothing is spot"
  }
  assert {
    condition     = alltrue([for spot in values(module.gcp["eu-west-1"].capacity) : spot == "ON_DEMAND"]) && alltrue([for spot in values(module.azure["ap-south-1"].capacity) : spot == "ON_DEMAND"])
    error_message = "without use_spot_instances nothing is spot, in any cloud"
  }
  assert {
    condition     = !anytrue([for region in [module.aws_first["us-west-2"], module.gcp["eu-west-1"], module.azure["ap-south-1"]] : contains(keys(region.capacity), "gpu")])
    error_message = "no GPU nodes without enable_gpu"
  }
  assert {
    condition     = alltrue([for region in [module.aws_first["us-west-2"], module.gcp["eu-west-1"], module.azure["ap-south-1"]] : region.public_storage == false])
    error_message = "no bucket may be public"
  }
  assert {
    condition = alltrue([for region, sources in output.mesh_ingress : length(sources) > 0 && alltrue([for source in sources :
    source == "10.32.0.0/16" || (endswith(source, "/32") && contains(["18.200.1.1/32", "34.90.1.1/32", "20.40.1.1/32"], source))])])
    error_message = "the mesh port is open only to the regions' addresses"
  }
  assert {
    condition     = length(module.dns.health_checks) == 0 && length(module.dns.records) == 0 && toset(module.dns.delegation) == toset(["ns-us-west-2.example.com.", "ns-eu-west-1.example.com.", "ns-ap-south-1.example.com."])
    error_message = "dns_mode mesh: the zone is delegated to every region's agents, and nothing else is written"
  }
  assert {
    condition     = length(module.aws_first["us-west-2"].api_open_to) + length(module.gcp["eu-west-1"].api_open_to) + length(module.azure["ap-south-1"].api_open_to) == 0
    error_message = "cluster APIs are closed to the outside without cluster_access_cidrs"
  }
  assert {
    condition     = length(module.aws_cost) == 0 && length(module.gcp_cost) == 0 && length(output.cost_exports) == 0 && length(output.azure_cost_exports) == 0 && alltrue([for region in values(local.cost_regions) : region == null])
    error_message = "no bill is exported until enable_cost_exports"
  }
}

run "settings_for_kubernetes" {
  assert {
    condition     = strcontains(output.kubernetes_settings["base/mesh.env"], "MESH_ADDRESS_EU_WEST_1=34.90.1.1\n") && strcontains(output.kubernetes_settings["base/mesh.env"], "ZONE=ml.example.com\n")
    error_message = "mesh.env has every region's address and the zone"
  }
  assert {
    condition     = length(regexall("\\[\\[regions\\]\\]", output.kubernetes_settings["base/agent/mesh.toml"])) == 3 && strcontains(output.kubernetes_settings["base/agent/mesh.toml"], "\"ns-ap-south-1.$${DOMAIN}\"")
    error_message = "the agents' configuration names the three regions"
  }
  assert {
    condition     = strcontains(output.kubernetes_settings["overlays/ap-south-1/region.env"], "STORE_URL=azure://models/mesh\n") && strcontains(output.kubernetes_settings["overlays/us-west-2/region.env"], "AWS_REGION=us-west-2\n")
    error_message = "each region has its store"
  }
}

run "spot_and_gpu" {
  variables {
    use_spot_instances = true
    enable_gpu         = true
  }
  assert {
    condition = alltrue([for region in [module.aws_first["us-west-2"], module.gcp["eu-west-1"], module.azure["ap-south-1"]] :
    region.capacity["agents"] == "ON_DEMAND" && region.capacity["serving"] == "ON_DEMAND" && region.capacity["spot"] == "SPOT" && region.capacity["gpu"] == "SPOT"])
    error_message = "spot only if enabled, and never for agents"
  }
}

run "a_fourth_region_is_one_entry" {
  variables {
    regions = {
      us-west-2    = { cloud = "aws", location = "us-west-2", network_cidr = "10.16.0.0/16", priority = 0 }
      eu-west-1    = { cloud = "gcp", location = "europe-west1", network_cidr = "10.32.0.0/16", priority = 1, latency_region = "eu-west-1" }
      ap-south-1   = { cloud = "azure", location = "centralindia", network_cidr = "10.48.0.0/16", priority = 2, latency_region = "ap-south-1" }
      eu-central-1 = { cloud = "aws", location = "eu-central-1", slot = 1, network_cidr = "10.64.0.0/16", priority = 3 }
    }
  }
  assert {
    condition     = length(output.contexts) == 4 && length(module.aws_second) == 1 && strcontains(output.kubernetes_settings["base/agent/mesh.toml"], "name = \"eu-central-1\"")
    error_message = "the fourth region is created and configured"
  }
  assert {
    condition     = length(output.mesh_ingress["eu-central-1"]) == length(output.mesh_ingress["us-west-2"])
    error_message = "it allows the same peers as the others, and they allow it"
  }
}

run "leader_writes_the_zone" {
  variables { dns_mode = "leader" }
  assert {
    condition     = length(module.dns.records) == 0 && length(module.dns.health_checks) == 0
    error_message = "Terraform does not write the leader's records"
  }
  assert {
    condition     = output.dns_leader_role_arn != null && strcontains(output.kubernetes_settings["overlays/eu-west-1/cloud.env"], "LEADER_ROLE=${output.dns_leader_role_arn}\n") && output.kubernetes_settings["overlays/ap-south-1/components"] == "route53-azure\nroute53-role\n"
    error_message = "agents outside AWS have an AWS role"
  }
  assert {
    condition     = strcontains(output.kubernetes_settings["base/agent/mesh.toml"], "zone_id = \"Z0123456789MOCK\"")
    error_message = "the agents know the zone"
  }
}

run "static_records" {
  variables { dns_mode = "static" }
  assert {
    condition     = output.kubernetes_settings["overlays/eu-west-1/components"] == "route53-gcp\n" && strcontains(output.kubernetes_settings["components/route53/checkers.yaml"], "15.177.0.0/18")
    error_message = "Route 53's health checkers reach the agents"
  }
  assert {
    condition     = length(module.dns.health_checks) == 6 && length(module.dns.records) == 3
    error_message = "Terraform writes the records that no leader writes"
  }
}
