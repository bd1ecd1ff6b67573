# EKS: a control plane with encrypted secrets and audit logs, nodes in private subnets.

data "aws_iam_policy_document" "key" {
  # Account administrators may administer the key; without this statement no one could.
  statement {
    sid       = "Account"
    actions   = ["kms:*"]
    resources = ["*"]
    principals {
      type        = "AWS"
      identifiers = ["arn:${data.aws_partition.here.partition}:iam::${data.aws_caller_identity.here.account_id}:root"]
    }
  }
  # This region's log groups, by name.
  statement {
    sid       = "Logs"
    actions   = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"]
    resources = ["*"]
    principals {
      type        = "Service"
      identifiers = ["logs.${var.location}.amazonaws.com"]
    }
    condition {
      test     = "ArnLike"
      variable = "kms:EncryptionContext:aws:logs:arn"
      values   = ["arn:${data.aws_partition.here.partition}:logs:${var.location}:${data.aws_caller_identity.here.account_id}:log-group:*${var.name}*"]
    }
  }
}

resource "aws_kms_key" "this" {
  description             = "${var.name}: secrets of the cluster, buckets, images"
  enable_key_rotation     = true
  deletion_window_in_days = 30
  policy                  = data.aws_iam_policy_document.key.json
}

resource "aws_kms_alias" "this" {
  name          = "alias/${var.name}"
  target_key_id = aws_kms_key.this.key_id
}

data "aws_iam_policy_document" "trust" {
  for_each = toset(["eks", "ec2"])
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["${each.value}.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "cluster" {
  name               = "${var.name}-cluster"
  assume_role_policy = data.aws_iam_policy_document.trust["eks"].json
}

resource "aws_iam_role_policy_attachment" "cluster" {
  role       = aws_iam_role.cluster.name
  policy_arn = "arn:${data.aws_partition.here.partition}:iam::aws:policy/AmazonEKSClusterPolicy"
}

resource "aws_iam_role" "node" {
  name               = "${var.name}-node"
  assume_role_policy = data.aws_iam_policy_document.trust["ec2"].json
}

resource "aws_iam_role_policy_attachment" "node" {
  for_each   = toset(["AmazonEKSWorkerNodePolicy", "AmazonEKS_CNI_Policy", "AmazonEC2ContainerRegistryReadOnly"])
  role       = aws_iam_role.node.name
  policy_arn = "arn:${data.aws_partition.here.partition}:iam::aws:policy/${each.value}"
}

resource "aws_cloudwatch_log_group" "cluster" {
  # EKS writes only to this name.
  name              = "/aws/eks/${var.name}/cluster"
  retention_in_days = var.log_retention_days
  kms_key_id        = aws_kms_key.this.arn
}

resource "aws_eks_cluster" "this" {
  name                      = var.name
  role_arn                  = aws_iam_role.cluster.arn
  version                   = var.kubernetes_version
  enabled_cluster_log_types = ["api", "audit", "authenticator", "controllerManager", "scheduler"]

  vpc_config {
    subnet_ids              = [for subnet in aws_subnet.private : subnet.id]
    endpoint_private_access = true
    endpoint_public_access  = length(var.cluster_access_cidrs) > 0
    public_access_cidrs     = length(var.cluster_access_cidrs) > 0 ? var.cluster_access_cidrs : null
  }

  access_config {
    authentication_mode                         = "API"
    bootstrap_cluster_creator_admin_permissions = true
  }

  encryption_config {
    resources = ["secrets"]
    provider { key_arn = aws_kms_key.this.arn }
  }

  lifecycle {
    # Used at creation only; a change would replace the cluster. Access entries say who may use it.
    ignore_changes = [access_config]
  }
  depends_on = [aws_iam_role_policy_attachment.cluster, aws_cloudwatch_log_group.cluster]
}

# For nodes and pods, in addition to the cluster's own group; peers/ adds the rules for the mesh
# port. Without the cluster's tag, because the load balancer controller writes its rules into the
# tagged group.
resource "aws_security_group" "mesh" {
  name        = "${var.name}-mesh"
  description = "regionmesh: who may reach the mesh port"
  vpc_id      = aws_vpc.this.id
  tags        = { Name = "${var.name}-mesh" }
}

data "aws_default_tags" "here" {}

# Only metadata service v2, one hop: a pod can't take the node's role.
resource "aws_launch_template" "node" {
  name                   = "${var.name}-node"
  vpc_security_group_ids = compact([aws_eks_cluster.this.vpc_config[0].cluster_security_group_id, aws_security_group.mesh.id])
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }
  block_device_mappings {
    device_name = "/dev/xvda"
    ebs {
      # Agents keep a copy of the served models.
      volume_size           = 100
      volume_type           = "gp3"
      encrypted             = true
      delete_on_termination = true
    }
  }
  # The provider's tags apply to the template, not to what it creates.
  dynamic "tag_specifications" {
    for_each = toset(["instance", "volume", "network-interface"])
    content {
      resource_type = tag_specifications.value
      tags          = merge(data.aws_default_tags.here.tags, { Name = "${var.name}-node" })
    }
  }
}

locals {
  # Agents are always on-demand. Model servers may use spot, with one permanent on-demand node.
  groups = merge(
    {
      agents = {
        capacity = "ON_DEMAND", machines = [var.agent_machine], ami = "AL2023_x86_64_STANDARD"
        min      = var.agent_nodes, max = var.agent_nodes + 1, desired = var.agent_nodes, labels = { "regionmesh.io/agent" = "true" }, taint = null
      }
      serving = {
        capacity = "ON_DEMAND", machines = [var.serving_machine], ami = "AL2023_x86_64_STANDARD"
        min      = var.use_spot_instances ? 1 : var.serving_nodes_min, max = var.serving_nodes_max
        desired  = var.use_spot_instances ? 1 : var.serving_nodes_min, labels = { "regionmesh.io/serving" = "true" }, taint = null
      }
    },
    var.use_spot_instances ? {
      spot = {
        # Several types: a single spot pool can run out.
        capacity = "SPOT", machines = distinct([var.serving_machine, "m6i.xlarge", "m6a.xlarge", "m5.xlarge"]), ami = "AL2023_x86_64_STANDARD"
        min      = var.serving_nodes_min, max = var.serving_nodes_max, desired = var.serving_nodes_min, labels = { "regionmesh.io/serving" = "true" }, taint = null
      }
    } : {},
    var.enable_gpu ? {
      gpu = {
        capacity = var.use_spot_instances ? "SPOT" : "ON_DEMAND", machines = [var.gpu_machine], ami = "AL2023_x86_64_NVIDIA"
        min      = 0, max = var.gpu_nodes_max, desired = 0, labels = { "regionmesh.io/gpu" = "true" }, taint = "nvidia.com/gpu"
      }
    } : {},
  )
}

resource "aws_eks_node_group" "this" {
  for_each        = local.groups
  cluster_name    = aws_eks_cluster.this.name
  node_group_name = each.key
  node_role_arn   = aws_iam_role.node.arn
  subnet_ids      = [for subnet in aws_subnet.private : subnet.id]
  capacity_type   = each.value.capacity
  instance_types  = each.value.machines
  ami_type        = each.value.ami
  labels          = each.value.labels

  scaling_config {
    min_size     = each.value.min
    max_size     = each.value.max
    desired_size = each.value.desired
  }

  # Never two agents' nodes simultaneously.
  update_config { max_unavailable = 1 }

  launch_template {
    id      = aws_launch_template.node.id
    version = aws_launch_template.node.latest_version
  }

  dynamic "taint" {
    for_each = each.value.taint == null ? [] : [each.value.taint]
    content {
      key    = taint.value
      value  = "present"
      effect = "NO_SCHEDULE"
    }
  }

  lifecycle {
    # The autoscaler sets the size. remote_access can't be used with a launch template, but some
    # APIs report it, and a difference would replace the nodes.
    ignore_changes = [scaling_config[0].desired_size, remote_access]
  }
  depends_on = [aws_iam_role_policy_attachment.node]
}

resource "aws_eks_addon" "this" {
  for_each                    = var.eks_addons
  cluster_name                = aws_eks_cluster.this.name
  addon_name                  = each.value
  resolve_conflicts_on_create = "OVERWRITE"
  resolve_conflicts_on_update = "PRESERVE"
  service_account_role_arn    = each.value == "aws-ebs-csi-driver" ? aws_iam_role.workload["storage"].arn : null
  # The CNI's agent enforces network policies; it is off by default.
  configuration_values = each.value == "vpc-cni" ? jsonencode({ enableNetworkPolicy = "true" }) : null
  depends_on           = [aws_eks_node_group.this]
}
