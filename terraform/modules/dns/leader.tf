# Mode leader: the dns-leader's permissions. It may change only the mesh's own names in this zone.

data "aws_partition" "here" {}

data "aws_iam_policy_document" "leader" {
  statement {
    sid       = "ReadZone"
    actions   = ["route53:GetHostedZone", "route53:ListResourceRecordSets"]
    resources = [local.zone_arn]
  }
  statement {
    sid       = "WriteOwnNames"
    actions   = ["route53:ChangeResourceRecordSets"]
    resources = [local.zone_arn]
    # Every change in a batch must have these names and types.
    condition {
      test     = "ForAllValues:StringLike"
      variable = "route53:ChangeResourceRecordSetsNormalizedRecordNames"
      values   = [local.service, "*.${local.service}", "_regionmesh-fence.${var.mesh_zone}"]
    }
    condition {
      test     = "ForAllValues:StringEquals"
      variable = "route53:ChangeResourceRecordSetsRecordTypes"
      values   = ["A", "AAAA", "TXT"]
    }
    # ForAllValues alone is also true without values.
    condition {
      test     = "Null"
      variable = "route53:ChangeResourceRecordSetsNormalizedRecordNames"
      values   = ["false"]
    }
  }
  statement {
    sid       = "AwaitChanges"
    actions   = ["route53:GetChange"]
    resources = ["arn:${data.aws_partition.here.partition}:route53:::change/*"]
  }
  # Health checks have no names that a policy could match.
  statement {
    sid       = "HealthChecks"
    actions   = ["route53:ListHealthChecks", "route53:CreateHealthCheck"]
    resources = ["*"]
  }
  statement {
    sid       = "OwnHealthChecks"
    actions   = ["route53:DeleteHealthCheck", "route53:ListTagsForResources", "route53:ListTagsForResource", "route53:ChangeTagsForResource"]
    resources = ["arn:${data.aws_partition.here.partition}:route53:::healthcheck/*"]
  }
}

resource "aws_iam_policy" "leader" {
  count       = var.mode == "leader" ? 1 : 0
  name        = "${var.name}-dns-leader"
  description = "Change the mesh's own names in ${var.mesh_zone}"
  policy      = data.aws_iam_policy_document.leader.json
}

resource "aws_iam_role_policy_attachment" "leader" {
  for_each   = var.mode == "leader" ? var.leader_role_names : {}
  role       = each.value
  policy_arn = aws_iam_policy.leader[0].arn
}

# Agents of other clouds assume a role here with their clusters' tokens.
locals {
  federated = var.mode == "leader" ? var.leader_issuers : {}
}

resource "aws_iam_openid_connect_provider" "elsewhere" {
  for_each       = local.federated
  url            = each.value
  client_id_list = ["sts.amazonaws.com"]
}

data "aws_iam_policy_document" "trust" {
  count = length(local.federated) > 0 ? 1 : 0
  dynamic "statement" {
    for_each = local.federated
    content {
      actions = ["sts:AssumeRoleWithWebIdentity"]
      principals {
        type        = "Federated"
        identifiers = [aws_iam_openid_connect_provider.elsewhere[statement.key].arn]
      }
      condition {
        test     = "StringEquals"
        variable = "${trimprefix(statement.value, "https://")}:sub"
        values   = ["system:serviceaccount:regionmesh:regionmesh-agent"]
      }
      condition {
        test     = "StringEquals"
        variable = "${trimprefix(statement.value, "https://")}:aud"
        values   = ["sts.amazonaws.com"]
      }
    }
  }
}

resource "aws_iam_role" "leader" {
  count                = length(local.federated) > 0 ? 1 : 0
  name                 = "${var.name}-dns-leader"
  description          = "Agents outside AWS, to write the mesh's names"
  assume_role_policy   = data.aws_iam_policy_document.trust[0].json
  max_session_duration = 3600
}

resource "aws_iam_role_policy_attachment" "federated" {
  count      = length(local.federated) > 0 ? 1 : 0
  role       = aws_iam_role.leader[0].name
  policy_arn = aws_iam_policy.leader[0].arn
}
