# Workload roles (IRSA): only the cluster's service account may assume its role.

resource "aws_iam_openid_connect_provider" "cluster" {
  url            = aws_eks_cluster.this.identity[0].oidc[0].issuer
  client_id_list = ["sts.amazonaws.com"]
}

locals {
  issuer = replace(aws_eks_cluster.this.identity[0].oidc[0].issuer, "https://", "")
  service_accounts = {
    agent   = "regionmesh:regionmesh-agent"
    serving = "regionmesh:regionmesh-serving"
    storage = "kube-system:ebs-csi-controller-sa"
    balance = "kube-system:aws-load-balancer-controller"
  }
}

data "aws_iam_policy_document" "workload" {
  for_each = local.service_accounts
  statement {
    actions = ["sts:AssumeRoleWithWebIdentity"]
    principals {
      type        = "Federated"
      identifiers = [aws_iam_openid_connect_provider.cluster.arn]
    }
    condition {
      test     = "StringEquals"
      variable = "${local.issuer}:sub"
      values   = ["system:serviceaccount:${each.value}"]
    }
    condition {
      test     = "StringEquals"
      variable = "${local.issuer}:aud"
      values   = ["sts.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "workload" {
  for_each           = local.service_accounts
  name               = "${var.name}-${each.key}"
  assume_role_policy = data.aws_iam_policy_document.workload[each.key].json
}

# Agents write models and the register's slots; servers read models.
data "aws_iam_policy_document" "bucket" {
  for_each = {
    agent   = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]
    serving = ["s3:GetObject"]
  }
  statement {
    sid       = "Objects"
    actions   = each.value
    resources = ["${aws_s3_bucket.this["models"].arn}/mesh/*"]
  }
  statement {
    sid       = "List"
    actions   = ["s3:ListBucket"]
    resources = [aws_s3_bucket.this["models"].arn]
    condition {
      test     = "StringLike"
      variable = "s3:prefix"
      values   = ["mesh", "mesh/*"]
    }
  }
  statement {
    sid       = "Key"
    actions   = each.key == "agent" ? ["kms:Decrypt", "kms:GenerateDataKey"] : ["kms:Decrypt"]
    resources = [aws_kms_key.this.arn]
  }
}

resource "aws_iam_role_policy" "bucket" {
  for_each = data.aws_iam_policy_document.bucket
  name     = "models"
  role     = aws_iam_role.workload[each.key].id
  policy   = each.value.json
}

resource "aws_iam_role_policy_attachment" "storage" {
  role       = aws_iam_role.workload["storage"].name
  policy_arn = "arn:${data.aws_partition.here.partition}:iam::aws:policy/service-role/AmazonEBSCSIDriverPolicy"
}

locals {
  ec2_groups = "arn:${data.aws_partition.here.partition}:ec2:${var.location}:${data.aws_caller_identity.here.account_id}:security-group/*"
  balancers  = "arn:${data.aws_partition.here.partition}:elasticloadbalancing:${var.location}:${data.aws_caller_identity.here.account_id}"
}

# What the AWS Load Balancer Controller needs for this cluster's Network Load Balancers: reading,
# and changing what has the cluster's tag. Based on the controller's policy
# (kubernetes-sigs/aws-load-balancer-controller, docs/install/iam_policy.json), without Application
# Load Balancers, WAF and Shield, and restricted to this cluster's tag.
data "aws_iam_policy_document" "balance" {
  statement {
    sid = "Read"
    actions = [
      "ec2:DescribeAccountAttributes", "ec2:DescribeAddresses", "ec2:DescribeAvailabilityZones", "ec2:DescribeInstances",
      "ec2:DescribeInternetGateways", "ec2:DescribeNetworkInterfaces", "ec2:DescribeRouteTables", "ec2:DescribeSecurityGroups", "ec2:DescribeSubnets",
      "ec2:DescribeTags", "ec2:DescribeVpcs", "ec2:DescribeVpcPeeringConnections", "ec2:GetSecurityGroupsForVpc", "elasticloadbalancing:Describe*",
    ]
    resources = ["*"]
  }
  # An account's first load balancer creates it.
  statement {
    sid       = "ServiceLinkedRole"
    actions   = ["iam:CreateServiceLinkedRole"]
    resources = ["arn:${data.aws_partition.here.partition}:iam::${data.aws_caller_identity.here.account_id}:role/aws-service-role/elasticloadbalancing.amazonaws.com/*"]
    condition {
      test     = "StringEquals"
      variable = "iam:AWSServiceName"
      values   = ["elasticloadbalancing.amazonaws.com"]
    }
  }
  # Group and network are authorised separately, and the network has no tag of the request.
  statement {
    sid       = "MakeGroups"
    actions   = ["ec2:CreateSecurityGroup"]
    resources = [local.ec2_groups, aws_vpc.this.arn]
  }
  # With its tag from the start.
  statement {
    sid       = "Make"
    actions   = ["elasticloadbalancing:CreateLoadBalancer", "elasticloadbalancing:CreateTargetGroup"]
    resources = ["${local.balancers}:*"]
    condition {
      test     = "StringEquals"
      variable = "aws:RequestTag/elbv2.k8s.aws/cluster"
      values   = [var.name]
    }
  }
  # Only during creation: tags can't claim existing resources for the cluster.
  dynamic "statement" {
    for_each = {
      ec2                  = { tag = "CreateTags", makes = ["CreateSecurityGroup"], resources = local.ec2_groups }
      elasticloadbalancing = { tag = "AddTags", makes = ["CreateLoadBalancer", "CreateTargetGroup", "CreateListener"], resources = "${local.balancers}:*" }
    }
    content {
      sid       = "${statement.value.tag}WhenMade"
      actions   = ["${statement.key}:${statement.value.tag}"]
      resources = [statement.value.resources]
      condition {
        test     = "StringEquals"
        variable = "${statement.key}:CreateAction"
        values   = statement.value.makes
      }
      condition {
        test     = "StringEquals"
        variable = "aws:RequestTag/elbv2.k8s.aws/cluster"
        values   = [var.name]
      }
    }
  }
  statement {
    sid = "Change"
    actions = [
      "ec2:AuthorizeSecurityGroupIngress", "ec2:RevokeSecurityGroupIngress", "ec2:DeleteSecurityGroup", "ec2:CreateTags", "ec2:DeleteTags",
      "elasticloadbalancing:AddTags", "elasticloadbalancing:RemoveTags", "elasticloadbalancing:DeleteLoadBalancer", "elasticloadbalancing:ModifyLoadBalancerAttributes",
      "elasticloadbalancing:SetIpAddressType", "elasticloadbalancing:SetSecurityGroups", "elasticloadbalancing:SetSubnets", "elasticloadbalancing:DeleteTargetGroup",
      "elasticloadbalancing:ModifyTargetGroup", "elasticloadbalancing:ModifyTargetGroupAttributes", "elasticloadbalancing:RegisterTargets", "elasticloadbalancing:DeregisterTargets",
    ]
    resources = [local.ec2_groups, "${local.balancers}:*"]
    condition {
      test     = "StringEquals"
      variable = "aws:ResourceTag/elbv2.k8s.aws/cluster"
      values   = [var.name]
    }
  }
  # Lets load balancers reach the pods: rules in the group that EKS created, which has EKS's tag.
  statement {
    sid       = "ReachPods"
    actions   = ["ec2:AuthorizeSecurityGroupIngress", "ec2:RevokeSecurityGroupIngress"]
    resources = [local.ec2_groups]
    condition {
      test     = "StringEquals"
      variable = "aws:ResourceTag/kubernetes.io/cluster/${var.name}"
      values   = ["owned"]
    }
  }
  # As broad as in the controller's policy: any Network Load Balancer.
  statement {
    sid       = "Listen"
    actions   = ["elasticloadbalancing:CreateListener", "elasticloadbalancing:DeleteListener", "elasticloadbalancing:ModifyListener", "elasticloadbalancing:ModifyListenerAttributes"]
    resources = ["${local.balancers}:loadbalancer/net/*", "${local.balancers}:listener/net/*"]
  }
}

resource "aws_iam_role_policy" "balance" {
  name   = "balance"
  role   = aws_iam_role.workload["balance"].id
  policy = data.aws_iam_policy_document.balance.json
}
