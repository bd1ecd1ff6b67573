# Values that AWS would generate, in the right format.

mock_data "aws_availability_zones" {
  defaults = { names = ["zone-a", "zone-b", "zone-c", "zone-d"] }
}

mock_data "aws_caller_identity" {
  defaults = { account_id = "222233334444" }
}

mock_data "aws_partition" {
  defaults = { partition = "aws" }
}

mock_data "aws_iam_policy_document" {
  defaults = { json = "{\"Version\":\"2012-10-17\",\"Statement\":[]}" }
}

mock_data "aws_ip_ranges" {
  defaults = { cidr_blocks = ["15.177.0.0/18", "54.183.255.128/26"] }
}

mock_resource "aws_iam_role" {
  defaults = { arn = "arn:aws:iam::222233334444:role/mocked" }
}

mock_resource "aws_iam_policy" {
  defaults = { arn = "arn:aws:iam::222233334444:policy/mocked" }
}

mock_resource "aws_iam_openid_connect_provider" {
  defaults = { arn = "arn:aws:iam::222233334444:oidc-provider/mocked" }
}

mock_resource "aws_kms_key" {
  defaults = { arn = "arn:aws:kms:us-west-2:222233334444:key/00000000-0000-0000-0000-000000000001" }
}

mock_resource "aws_cloudwatch_log_group" {
  defaults = { arn = "arn:aws:logs:us-west-2:222233334444:log-group:mocked" }
}

mock_resource "aws_s3_bucket" {
  defaults = { arn = "arn:aws:s3:::mocked" }
}

mock_resource "aws_launch_template" {
  defaults = { id = "lt-0123456789abcdef0" }
}

mock_resource "aws_eip" {
  defaults = { public_ip = "18.200.1.1", id = "eipalloc-0123456789abcdef0" }
}

mock_resource "aws_eks_cluster" {
  defaults = {
    identity = [{ oidc = [{ issuer = "https://oidc.eks.us-west-2.amazonaws.com/id/MOCKED" }] }]
  }
}

mock_resource "aws_route53_zone" {
  defaults = { zone_id = "Z0123456789MOCK", arn = "arn:aws:route53:::hostedzone/Z0123456789MOCK", name_servers = ["ns-1.awsdns-01.org", "ns-2.awsdns-02.com"] }
}
