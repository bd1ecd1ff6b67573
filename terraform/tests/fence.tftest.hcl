# The dns-leader's permissions, computed by the AWS provider without requests: only its names in its
# zone.

provider "aws" {
  region                      = "us-east-1"
  access_key                  = "none"
  secret_key                  = "none"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true
}

run "only_its_zone" {
  command = plan
  module { source = "./modules/dns" }
  override_data {
    target = data.aws_route53_zone.given
    values = { zone_id = "Z0FENCE123", arn = "arn:aws:route53:::hostedzone/Z0FENCE123", name_servers = ["ns-1.awsdns-01.org"] }
  }
  variables {
    name         = "regionmesh-test"
    domain_name  = "example.com"
    mesh_zone    = "ml.example.com"
    zone_id      = "Z0FENCE123"
    protect_data = true
    mode         = "leader"
    routing      = "weighted"
    regions = {
      one = { addresses = { mesh = "18.200.1.1", dns = "18.200.1.2", serving = "18.200.1.3", prometheus = "18.200.1.4", verdict = "18.200.1.5" }, priority = 0, weight = 100, latency_region = "us-west-2" }
    }
    leader_role_names = { one = "regionmesh-test-one-agent" }
    leader_issuers    = {}
  }

  assert {
    condition = alltrue([for statement in jsondecode(output.leader_policy).Statement :
    statement.Resource == "arn:aws:route53:::hostedzone/Z0FENCE123" if contains(flatten([statement.Action]), "route53:ChangeResourceRecordSets")])
    error_message = "records may be changed only in the mesh's zone"
  }
  assert {
    condition = alltrue([for statement in jsondecode(output.leader_policy).Statement :
      toset(statement.Condition["ForAllValues:StringLike"]["route53:ChangeResourceRecordSetsNormalizedRecordNames"]) == toset(["serving.ml.example.com", "*.serving.ml.example.com", "_regionmesh-fence.ml.example.com"])
      && toset(statement.Condition["ForAllValues:StringEquals"]["route53:ChangeResourceRecordSetsRecordTypes"]) == toset(["A", "AAAA", "TXT"])
    if contains(flatten([statement.Action]), "route53:ChangeResourceRecordSets")])
    error_message = "only the mesh's own names and types"
  }
  assert {
    condition     = !anytrue([for action in flatten([for statement in jsondecode(output.leader_policy).Statement : statement.Action]) : strcontains(action, "*") || !startswith(action, "route53:") || strcontains(action, "HostedZone") && action != "route53:GetHostedZone"])
    error_message = "no wildcards, no other service, no creation or deletion of zones"
  }
}
