# The account's daily FOCUS 1.0 bill, and the agents' right to read it. The export API exists only
# in us-east-1.

terraform {
  required_version = ">= 1.9.0"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }
}

variable "name" {
  description = "Prefix of the export's name: project and environment."
  type        = string
}

variable "bucket" {
  description = "The bucket that the export is written to."
  type        = string
}

variable "bucket_arn" {
  description = "Its ARN."
  type        = string
}

variable "location" {
  description = "The bucket's region."
  type        = string
}

variable "reader_roles" {
  description = "Names of the agents' roles, by region."
  type        = map(string)
}

locals {
  prefix = "focus"
  # All columns of FOCUS 1.0. AWS adds five of its own (x_…), which are not used.
  columns = [
    "AvailabilityZone", "BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodEnd", "BillingPeriodStart",
    "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargeFrequency", "ChargePeriodEnd", "ChargePeriodStart",
    "CommitmentDiscountCategory", "CommitmentDiscountId", "CommitmentDiscountName", "CommitmentDiscountStatus", "CommitmentDiscountType",
    "ConsumedQuantity", "ConsumedUnit", "ContractedCost", "ContractedUnitPrice", "EffectiveCost", "InvoiceIssuerName", "ListCost", "ListUnitPrice",
    "PricingCategory", "PricingQuantity", "PricingUnit", "ProviderName", "PublisherName", "RegionId", "RegionName",
    "ResourceId", "ResourceName", "ResourceType", "ServiceCategory", "ServiceName", "SkuId", "SkuPriceId", "SubAccountId", "SubAccountName", "Tags",
  ]
}

resource "aws_bcmdataexports_export" "focus" {
  export {
    name = "${var.name}-focus"
    data_query { query_statement = "SELECT ${join(", ", local.columns)} FROM FOCUS_1_0_AWS" }
    destination_configurations {
      s3_destination {
        s3_bucket = var.bucket
        s3_prefix = local.prefix
        s3_region = var.location
        s3_output_configurations {
          overwrite   = "OVERWRITE_REPORT"
          format      = "PARQUET"
          compression = "PARQUET"
          output_type = "CUSTOM"
        }
      }
    }
    refresh_cadence { frequency = "SYNCHRONOUS" }
  }
}

data "aws_iam_policy_document" "read" {
  statement {
    sid       = "Objects"
    actions   = ["s3:GetObject"]
    resources = ["${var.bucket_arn}/${local.prefix}/*"]
  }
  statement {
    sid       = "List"
    actions   = ["s3:ListBucket"]
    resources = [var.bucket_arn]
    condition {
      test     = "StringLike"
      variable = "s3:prefix"
      values   = [local.prefix, "${local.prefix}/*"]
    }
  }
}

resource "aws_iam_role_policy" "read" {
  for_each = var.reader_roles
  name     = "focus"
  role     = each.value
  policy   = data.aws_iam_policy_document.read.json
}

output "export" {
  description = "What agents poll, as an entry of cost.exports."
  value       = { url = "s3://${var.bucket}/${local.prefix}", options = { aws_region = var.location } }
}

output "read_policy" {
  description = "The agents' permissions, as JSON."
  value       = data.aws_iam_policy_document.read.json
}

output "query" {
  description = "The exported query."
  value       = aws_bcmdataexports_export.focus.export[0].data_query[0].query_statement
}

output "readers" {
  description = "The roles that read it, by region."
  value       = { for region, policy in aws_iam_role_policy.read : region => policy.role }
}
