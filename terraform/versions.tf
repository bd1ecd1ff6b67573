# Required versions of Terraform and its providers. google 7 and azurerm 5 change resources that are
# used here.
terraform {
  required_version = ">= 1.9.0"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
    google = {
      source  = "hashicorp/google"
      version = "~> 6.50"
    }
    azurerm = {
      source  = "hashicorp/azurerm"
      version = "~> 4.55"
    }
  }

  # Location of the state: scripts/deploy.sh sets the file, or overrides this with the environment's
  # backend.tf.
  backend "local" {}
}
