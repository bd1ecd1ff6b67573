# DNS module: answered regions, queried observers, and the majority that judges a region.

mock_provider "aws" {
  source = "./tests/mocks/aws"
}

variables {
  name              = "regionmesh-test"
  domain_name       = "example.com"
  mesh_zone         = "ml.example.com"
  zone_id           = null
  protect_data      = true
  mode              = "static"
  routing           = "weighted"
  leader_role_names = {}
  leader_issuers    = {}
  regions = {
    us-west-2  = { addresses = { mesh = "18.200.1.1", dns = "18.200.1.2", serving = "18.200.1.3", prometheus = "18.200.1.4", verdict = "18.200.1.5" }, priority = 0, weight = 100, latency_region = "us-west-2" }
    eu-west-1  = { addresses = { mesh = "34.90.1.1", dns = "34.90.1.2", serving = "34.90.1.3", prometheus = "34.90.1.4", verdict = "34.90.1.5" }, priority = 1, weight = 50, latency_region = "eu-west-1" }
    ap-south-1 = { addresses = { mesh = "20.40.1.1", dns = "20.40.1.2", serving = "20.40.1.3", prometheus = "20.40.1.4", verdict = "20.40.1.5" }, priority = 2, weight = 0, latency_region = "ap-south-1" }
  }
}

run "weighted" {
  module { source = "./modules/dns" }
  assert {
    condition     = length(output.health_checks) == 6 && toset(keys(output.parents)) == toset(["us-west-2", "eu-west-1", "ap-south-1"])
    error_message = "each region is judged by the two others, and has a calculated parent"
  }
  assert {
    condition     = alltrue([for parent in values(output.parents) : parent.children == 2 && parent.enough == 1])
    error_message = "of two observers one healthy vote suffices: losing an observer does not fail a region"
  }
  assert {
    condition     = alltrue([for check in values(output.health_checks) : check.path == "/verdict/${check.region}" && check.region != check.observer])
    error_message = "each check queries the verdict on its region, and no region judges itself"
  }
  assert {
    condition     = { for name, record in output.records : name => record.place } == { us-west-2 = "100", eu-west-1 = "50", ap-south-1 = "0" } && alltrue([for record in values(output.records) : record.checked])
    error_message = "three weighted sets, each with its region's check"
  }
}

run "failover" {
  module { source = "./modules/dns" }
  variables { routing = "failover" }
  assert {
    condition     = { for name, record in output.records : name => record.place } == { us-west-2 = "PRIMARY", eu-west-1 = "SECONDARY" }
    error_message = "the first two regions by priority"
  }
}

run "latency" {
  module { source = "./modules/dns" }
  variables { routing = "latency" }
  assert {
    condition     = { for name, record in output.records : name => record.place } == { us-west-2 = "us-west-2", eu-west-1 = "eu-west-1", ap-south-1 = "ap-south-1" }
    error_message = "each with its nearest AWS region"
  }
}

run "two_regions_are_asked_about_themselves" {
  module { source = "./modules/dns" }
  variables {
    regions = {
      one = { addresses = { mesh = "18.200.1.1", dns = "18.200.1.2", serving = "18.200.1.3", prometheus = "18.200.1.4", verdict = "18.200.1.5" }, priority = 0, weight = 100, latency_region = "us-west-2" }
      two = { addresses = { mesh = "34.90.1.1", dns = "34.90.1.2", serving = "34.90.1.3", prometheus = "34.90.1.4", verdict = "34.90.1.5" }, priority = 1, weight = 100, latency_region = "eu-west-1" }
    }
  }
  assert {
    condition     = length(output.health_checks) == 4 && alltrue([for parent in values(output.parents) : parent.enough == 1])
    error_message = "otherwise losing one region would make both unhealthy"
  }
}

run "five_regions_are_judged_by_a_majority" {
  module { source = "./modules/dns" }
  variables {
    regions = { for name in ["a", "b", "c", "d", "e"] : name => { addresses = { mesh = "18.200.1.1", dns = "18.200.1.2", serving = "18.200.1.3", prometheus = "18.200.1.4", verdict = "18.200.1.5" }, priority = 0, weight = 100, latency_region = "us-west-2" } }
  }
  assert {
    condition     = alltrue([for parent in values(output.parents) : parent.children == 4 && parent.enough == 2])
    error_message = "of four observers, three that report failed are a majority"
  }
}
