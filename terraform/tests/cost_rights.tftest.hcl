# What agents may read of the billing bucket, computed by the AWS provider without requests.

provider "aws" {
  region                      = "us-east-1"
  access_key                  = "none"
  secret_key                  = "none"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true
}

run "below_its_prefix_and_only_read" {
  command = plan
  module { source = "./modules/aws/cost" }
  variables {
    name         = "regionmesh-test"
    bucket       = "some-logs"
    bucket_arn   = "arn:aws:s3:::some-logs"
    location     = "us-west-2"
    reader_roles = { us-west-2 = "regionmesh-test-us-west-2-agent" }
  }
  assert {
    condition     = toset(flatten([for statement in jsondecode(output.read_policy).Statement : statement.Action])) == toset(["s3:GetObject", "s3:ListBucket"])
    error_message = "agents may only read"
  }
  assert {
    condition = alltrue([for statement in jsondecode(output.read_policy).Statement :
    statement.Action == "s3:GetObject" ? statement.Resource == "arn:aws:s3:::some-logs/focus/*" : toset(statement.Condition.StringLike["s3:prefix"]) == toset(["focus", "focus/*"])])
    error_message = "only below focus/: the bucket also has access logs"
  }
  assert {
    condition     = output.export.url == "s3://some-logs/focus" && aws_bcmdataexports_export.focus.export[0].destination_configurations[0].s3_destination[0].s3_prefix == "focus"
    error_message = "agents poll the export's location"
  }
}
