#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# OpenSSH: the public key, a login, the agent, signatures, signed commits and a server's host key, with the key in the chip.

# The printed lines are shell text: their variables are expanded when the line runs.
# shellcheck disable=SC2016
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/../../scripts/lib.sh"
# shellcheck source=scripts/lib/token.sh
. "$ROOT/scripts/lib/token.sh"

need_packages openssh-client openssh-server git
fresh_token openssh
PORT=$(free_port)
export PORT
# sshd needs this folder.
[ -d /run/sshd ] || as_root mkdir -p /run/sshd

heading 'Public key in OpenSSH format'
run 'ssh-keygen -D $MODULE -e > keys.pub'
run 'grep "^ecdsa-sha2-nistp256 .* dev-key$" keys.pub > id.pub'
run 'ssh-keygen -i -m PKCS8 -f dev-pub.pem | cut -d " " -f 2 > software; cut -d " " -f 2 id.pub | cmp - software'
run 'FINGERPRINT=$(ssh-keygen -l -f id.pub | cut -d " " -f 2)'

heading 'A login'
run 'ssh-keygen -q -t ed25519 -N "" -f host_key'
run 'cp id.pub authorized_keys'
write_file sshd_config <<END
ListenAddress 127.0.0.1:$PORT
HostKey $WORK/host_key
PidFile $WORK/sshd.pid
AuthorizedKeysFile $WORK/authorized_keys
AuthenticationMethods publickey
PermitRootLogin prohibit-password
StrictModes no
UsePAM no
END
start_server sshd.log "/usr/sbin/sshd -D -e -f $WORK/sshd_config"
wait_for sshd sshd.log listening "$PORT"
run 'printf "[127.0.0.1]:%s %s\n" $PORT "$(cat host_key.pub)" > known_hosts'
run 'SSH="ssh -F /dev/null -o UserKnownHostsFile=known_hosts -o BatchMode=yes -o IdentityFile=none -p $PORT $(id -un)@127.0.0.1"'
run_refused 'Permission denied' '$SSH true'
run_in_chip Sign '[ "$($SSH -I $MODULE echo in)" = in ]'
run 'grep "Accepted publickey for $(id -un) .* ECDSA $FINGERPRINT" sshd.log'

heading 'The agent'
start_server agent.log "ssh-agent -D -a $WORK/agent.sock -P '$(readlink -f "$MODULE")'"
wait_for ssh-agent agent.log test -S agent.sock
run 'export SSH_AUTH_SOCK=$WORK/agent.sock'
# ssh-add asks for a PIN even if the token has none.
run 'printf "#!/bin/sh\necho\n" > no-pin; chmod 700 no-pin'
run 'SSH_ASKPASS=$WORK/no-pin SSH_ASKPASS_REQUIRE=force ssh-add -s $MODULE'
run 'ssh-add -l | grep "$FINGERPRINT"'
run_in_chip Sign '[ "$($SSH echo in)" = in ]'
run '[ "$(grep -c "Accepted publickey" sshd.log)" = 2 ]'

heading 'Host key of a server, used through the agent'
run 'ssh-keygen -q -t ed25519 -N "" -f user_key && cp user_key.pub authorized_keys'
run 'cp id.pub chip_host_key.pub'
HOST_PORT=$(free_port)
run "sed -e 's|^ListenAddress.*|ListenAddress 127.0.0.1:$HOST_PORT|' -e 's|^HostKey .*|HostKey $WORK/chip_host_key.pub|' -e 's|^PidFile.*|PidFile none|' sshd_config > host_sshd_config"
run 'echo "HostKeyAgent $SSH_AUTH_SOCK" >> host_sshd_config'
start_server host-sshd.log "/usr/sbin/sshd -D -e -f $WORK/host_sshd_config"
wait_for sshd host-sshd.log listening "$HOST_PORT"
run "printf '[127.0.0.1]:%s %s\n' $HOST_PORT \"\$(cat id.pub)\" > known_chip"
# The user's key is a file here: what the chip signs is the server's part.
run_in_chip Sign "[ \"\$(ssh -F /dev/null -o UserKnownHostsFile=known_chip -o StrictHostKeyChecking=yes -o BatchMode=yes -o IdentityAgent=none -i user_key -p $HOST_PORT \"\$(id -un)@127.0.0.1\" echo in)\" = in ]"
stop_last_server
run 'cp id.pub authorized_keys'

heading 'Signatures of files, and of commits'
run 'printf "device@example.com %s\n" "$(cut -d " " -f 1,2 id.pub)" > allowed'
run_in_chip Sign 'ssh-keygen -Y sign -n file -f id.pub msg'
run 'ssh-keygen -Y verify -n file -f allowed -I device@example.com -s msg.sig < msg'
run_refused 'incorrect signature' 'echo other | ssh-keygen -Y verify -n file -f allowed -I device@example.com -s msg.sig'
run 'git init -q repository'
run 'git -C repository config gpg.format ssh && git -C repository config user.signingkey $WORK/id.pub'
run 'git -C repository config gpg.ssh.allowedSignersFile $WORK/allowed'
run_in_chip Sign 'git -C repository -c user.name=device -c user.email=device@example.com commit -q -S --allow-empty -m signed'
run 'git -C repository verify-commit HEAD'

heading 'Remove the token from the agent'
run 'SSH_ASKPASS=$WORK/no-pin SSH_ASKPASS_REQUIRE=force ssh-add -e $MODULE'
run_refused 'no identities' 'ssh-add -l'
