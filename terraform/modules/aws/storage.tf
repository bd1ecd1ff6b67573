# Buckets for models and logs, a registry for images.

locals {
  # Bucket names are global: the account ID makes them unique.
  buckets = { for kind in ["models", "logs"] : kind => "${var.name}-${kind}-${data.aws_caller_identity.here.account_id}" }
}

resource "aws_s3_bucket" "this" {
  for_each      = local.buckets
  bucket        = each.value
  force_destroy = !var.protect_data
}

resource "aws_s3_bucket_public_access_block" "this" {
  for_each                = aws_s3_bucket.this
  bucket                  = each.value.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "this" {
  for_each = aws_s3_bucket.this
  bucket   = each.value.id
  rule { object_ownership = "BucketOwnerEnforced" }
}

resource "aws_s3_bucket_versioning" "this" {
  for_each = aws_s3_bucket.this
  bucket   = each.value.id
  versioning_configuration { status = "Enabled" }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  for_each = aws_s3_bucket.this
  bucket   = each.value.id
  rule {
    # S3 can't write access logs to a bucket with a customer-managed key.
    apply_server_side_encryption_by_default {
      sse_algorithm     = each.key == "logs" ? "AES256" : "aws:kms"
      kms_master_key_id = each.key == "logs" ? null : aws_kms_key.this.arn
    }
    bucket_key_enabled = each.key != "logs"
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "this" {
  for_each = aws_s3_bucket.this
  bucket   = each.value.id

  # No rule deletes current model objects: the register's slots are among them, and an acceptor that
  # loses its slot loses its vote.
  rule {
    id     = "earlier-versions"
    status = "Enabled"
    filter {}
    noncurrent_version_expiration { noncurrent_days = 30 }
    abort_incomplete_multipart_upload { days_after_initiation = 7 }
  }

  dynamic "rule" {
    for_each = each.key == "logs" ? [1] : []
    content {
      id     = "old-logs"
      status = "Enabled"
      filter {}
      expiration { days = var.log_retention_days }
    }
  }
  depends_on = [aws_s3_bucket_versioning.this]
}

resource "aws_s3_bucket_logging" "models" {
  bucket        = aws_s3_bucket.this["models"].id
  target_bucket = aws_s3_bucket.this["logs"].id
  target_prefix = "access/models/"
  # S3 checks its permission to write there.
  depends_on = [aws_s3_bucket_policy.this]
}

data "aws_iam_policy_document" "bucket_policy" {
  for_each = aws_s3_bucket.this
  statement {
    sid       = "OnlyTls"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [each.value.arn, "${each.value.arn}/*"]
    principals {
      type        = "AWS"
      identifiers = ["*"]
    }
    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }

  dynamic "statement" {
    for_each = each.key == "logs" ? [1] : []
    content {
      sid       = "AccessLogs"
      actions   = ["s3:PutObject"]
      resources = ["${each.value.arn}/access/models/*"]
      principals {
        type        = "Service"
        identifiers = ["logging.s3.amazonaws.com"]
      }
      condition {
        test     = "StringEquals"
        variable = "aws:SourceAccount"
        values   = [data.aws_caller_identity.here.account_id]
      }
    }
  }

  dynamic "statement" {
    for_each = each.key == "logs" && var.takes_cost_exports ? [1] : []
    content {
      sid     = "CostExports"
      actions = ["s3:PutObject", "s3:GetBucketPolicy"]
      # AWS must be allowed to write its test object, which is outside the prefix, to create an
      # export.
      resources = [each.value.arn, "${each.value.arn}/focus/*", "${each.value.arn}/aws-programmatic-access-test-object"]
      principals {
        type        = "Service"
        identifiers = ["bcm-data-exports.amazonaws.com"]
      }
      condition {
        test     = "StringEquals"
        variable = "aws:SourceAccount"
        values   = [data.aws_caller_identity.here.account_id]
      }
      condition {
        test     = "ArnLike"
        variable = "aws:SourceArn"
        values   = ["arn:${data.aws_partition.here.partition}:bcm-data-exports:us-east-1:${data.aws_caller_identity.here.account_id}:export/*"]
      }
    }
  }
}

resource "aws_s3_bucket_policy" "this" {
  for_each   = aws_s3_bucket.this
  bucket     = each.value.id
  policy     = data.aws_iam_policy_document.bucket_policy[each.key].json
  depends_on = [aws_s3_bucket_public_access_block.this]
}

resource "aws_ecr_repository" "this" {
  name                 = var.name
  image_tag_mutability = "IMMUTABLE"
  force_delete         = !var.protect_data
  image_scanning_configuration { scan_on_push = true }
  encryption_configuration {
    encryption_type = "KMS"
    kms_key         = aws_kms_key.this.arn
  }
}

resource "aws_ecr_lifecycle_policy" "this" {
  repository = aws_ecr_repository.this.name
  policy = jsonencode({
    rules = [
      { rulePriority = 1, description = "untagged layers", selection = { tagStatus = "untagged", countType = "sinceImagePushed", countUnit = "days", countNumber = 14 }, action = { type = "expire" } },
      { rulePriority = 2, description = "the last 50 images", selection = { tagStatus = "any", countType = "imageCountMoreThan", countNumber = 50 }, action = { type = "expire" } },
    ]
  })
}
