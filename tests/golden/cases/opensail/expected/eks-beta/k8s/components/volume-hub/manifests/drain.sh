# Before the driver ends: what only this node has goes to S3. The driver leaves a mark when all of it is there.
# Tried again until then, for as long as the pod is given.
deadline=$(($(date +%s) + 580))
until [ -e /run/csi/drain-complete ] || [ "$(date +%s)" -ge "$deadline" ]; do
    wget -q -T 580 -O /dev/null --post-data='' http://127.0.0.1:9743/drain || sleep 5
done
