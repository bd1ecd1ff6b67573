# An AWS provider covers one AWS region, so there are three, numbered; a region's `slot` selects
# one. google and azurerm cover all locations.

locals {
  tags = merge(var.tags, {
    Project     = var.project_name
    Environment = var.environment
    ManagedBy   = "terraform"
  })

  aws_locations = { for slot in range(3) : slot => one(distinct([for region in var.regions : region.location if region.cloud == "aws" && region.slot == slot])) }
  # A provider needs a region even if it creates nothing.
  any_aws_location = coalesce(local.aws_locations[0], local.aws_locations[1], local.aws_locations[2], "us-east-1")
}

provider "aws" {
  region = coalesce(local.aws_locations[0], local.any_aws_location)
  default_tags { tags = local.tags }
}

provider "aws" {
  alias  = "second"
  region = coalesce(local.aws_locations[1], local.any_aws_location)
  default_tags { tags = local.tags }
}

provider "aws" {
  alias  = "third"
  region = coalesce(local.aws_locations[2], local.any_aws_location)
  default_tags { tags = local.tags }
}

# Route 53 is global; the billing export API exists only here.
provider "aws" {
  alias  = "global"
  region = "us-east-1"
  default_tags { tags = local.tags }
}

provider "google" {
  project        = var.gcp_project_id
  default_labels = { for name, value in local.tags : lower(name) => lower(replace(value, "/[^a-zA-Z0-9_-]/", "-")) }
}

provider "azurerm" {
  subscription_id = var.azure_subscription_id
  features {
    resource_group {
      # Never delete other resources in the group.
      prevent_deletion_if_contains_resources = true
    }
  }
}
