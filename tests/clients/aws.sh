#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# AWS's SDKs (awscrt, awsiotsdk): MQTT 3.1.1 and 5, several connections at once, a broker that restarts, and the way in
# which the IoT Device Client and Greengrass load the module. The broker is mosquitto, which requires a client
# certificate.

# The printed lines are shell text: their variables are expanded when the line runs.
# shellcheck disable=SC2016
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/../../scripts/lib.sh"
# shellcheck source=scripts/lib/daemons.sh
. "$ROOT/scripts/lib/daemons.sh"
# shellcheck source=scripts/lib/token.sh
. "$ROOT/scripts/lib/token.sh"

need_packages mosquitto python3 python3-venv
need_python_venv aws "$ROOT/tests/clients/aws/requirements.txt"
fresh_token aws
software_ca
device_certificate
PORT=$(free_port)
export PORT
export MQTT="$VENV/bin/python $ROOT/tests/clients/aws/mqtt.py"
broker() { mqtt_broker "$PORT" ca.pem server.pem server.key; }
broker

run 'ARGUMENTS="$MODULE gateway dev-key device.pem ca.pem $PORT"'
for way in sdk version_5 initialised_by_another; do
    heading "$way"
    run_in_chip Sign "\$MQTT $way \$ARGUMENTS"
done
heading 'device_client, which loads the module twice'
run_in_chip Sign '$MQTT device_client $ARGUMENTS' 2
run '[ "$(grep -c "New client connected .* as device-client " broker.log)" = 2 ]'
for client in sdk five device-client second; do
    run "grep -E \"New client connected .* as $client .*u.device-001\" broker.log"
done

heading 'Eight connections in parallel'
run_in_chip Sign '$MQTT at_once $ARGUMENTS' 8
run '[ "$(grep -c -E "New client connected .* as many-[0-7] " broker.log)" = 8 ]'

heading 'Reconnection after a broker restart'
start_server again.log "$MQTT again $MODULE gateway dev-key device.pem ca.pem $PORT"
wait_for 'the client' again.log grep -q connected again.log
AGAIN=${SERVERS[-1]}
unset 'SERVERS[-1]'
stop_last_server
run 'mv broker.log first-broker.log'
broker
run "wait $AGAIN"
run 'grep "again: done" again.log && grep -E "New client connected .* as again .*u.device-001" broker.log'
