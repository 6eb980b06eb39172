#!/usr/bin/env bash
# Every template through SAM's validation, cfn-lint and checkov. SAM and CHECKOV name the folders of their programs.
# Exceptions stand in infra/cfnlint.yaml and infra/checkov.yaml, each with its reason.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export SAM_CLI_TELEMETRY=0 LOG_LEVEL=ERROR AWS_DEFAULT_REGION=${AWS_DEFAULT_REGION:-eu-central-1} AWS_EC2_METADATA_DISABLED=true

echo "sam validate --lint"
"$SAM/sam" validate --lint --template-file template.yaml --region "$AWS_DEFAULT_REGION"
echo "cfn-lint"
"$SAM/cfn-lint" --config-file infra/cfnlint.yaml
echo "checkov"
"$CHECKOV/checkov" --config-file infra/checkov.yaml --file template.yaml infra/*.yaml
echo "validate: clean"
