# What other modules, the manifests and operators need from the region.

output "egress_addresses" {
  description = "Egress addresses of the region's nodes."
  value       = [for address in aws_eip.nat : address.public_ip]
}

output "addresses" {
  description = "Fixed public address of each service."
  value       = { for service, address in aws_eip.service : service => address.public_ip }
}

output "security_group_id" {
  description = "Security group that allows mesh traffic."
  value       = aws_security_group.mesh.id
}

output "issuer" {
  description = "Issuer of the service accounts' tokens."
  value       = aws_eks_cluster.this.identity[0].oidc[0].issuer
}

output "agent_role_name" {
  description = "The agents' role, to attach policies to."
  value       = aws_iam_role.workload["agent"].name
}

output "store_url" {
  description = "The region's store, as object_store reads it."
  value       = "s3://${aws_s3_bucket.this["models"].id}/mesh"
}

output "log_bucket" {
  description = "The bucket for logs and billing exports. Its policy must exist before an export is created."
  value       = aws_s3_bucket.this["logs"].id
  depends_on  = [aws_s3_bucket_policy.this]
}

output "log_bucket_arn" {
  description = "Its ARN."
  value       = aws_s3_bucket.this["logs"].arn
}

output "registry" {
  description = "The image repository to push to."
  value       = aws_ecr_repository.this.repository_url
}

output "kubectl" {
  description = "The command that creates a kubectl context for the cluster."
  value       = "aws eks update-kubeconfig --region ${var.location} --name ${aws_eks_cluster.this.name} --alias ${var.name}"
}

output "region_env" {
  description = "overlays/REGION/region.env: the region's own settings."
  value = {
    REGION            = var.region
    STORE_URL         = "s3://${aws_s3_bucket.this["models"].id}/mesh"
    AWS_REGION        = var.location
    TRITON_REPOSITORY = "s3://${aws_s3_bucket.this["models"].id}/mesh/models"
  }
}

output "cloud_env" {
  description = "overlays/REGION/cloud.env: names assigned by AWS."
  value = merge({
    AGENT_ROLE   = aws_iam_role.workload["agent"].arn
    SERVING_ROLE = aws_iam_role.workload["serving"].arn
    SUBNET       = aws_subnet.public["0"].id
  }, { for service, address in aws_eip.service : "${upper(service)}_EIP" => address.id })
}

output "context" {
  description = "The name of that context."
  value       = var.name
}

output "capacity" {
  description = "Capacity type of each node group: ON_DEMAND or SPOT."
  value       = { for name, group in aws_eks_node_group.this : name => group.capacity_type }
}

output "public_storage" {
  description = "Whether anything of a bucket can be made public."
  value       = !alltrue([for block in aws_s3_bucket_public_access_block.this : block.block_public_acls && block.block_public_policy && block.ignore_public_acls && block.restrict_public_buckets])
}

output "api_open_to" {
  description = "Networks that may reach the cluster's API, besides the VPC."
  value       = aws_eks_cluster.this.vpc_config[0].endpoint_public_access ? var.cluster_access_cidrs : tolist([])
}
