// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * An I2C adapter for tests. It passes its messages on to the adapter `parent`, and reports them as the drivers of other
 * adapters do. Behind it is a multiplexer with one channel, which selects nothing: a second node of the same wires.
 *
 *     insmod twist.ko parent=N
 *
 * All parameters but `parent` can be changed at any time, in /sys/module/twist/parameters:
 *
 *     nack=ERRNO           a NACK is reported as this errno; 0: as 0 messages done, without an errno (i2c-virtio)
 *     pulse=ERRNO          each message to address 0 is reported as this errno; 0: as other messages
 *     pulse_lost=Y         messages to address 0 are not sent
 *     pulled=Y             messages to other addresses than 0 go to an address that no device has
 *     max_read_len=BYTES   longer reads are refused by i2c-core, as the driver's quirks say; 0: no limit
 *     max_write_len=BYTES  the same for writes
 *     longest=BYTES        longer messages are refused by the driver with EINVAL; 0: no limit
 *     smbus=Y              an adapter for SMBus only
 *     interruptible=Y      a transfer ends with a wait that signals interrupt (hid-cp2112), and SIGALRM arrives before it, at the
 *                          calling thread
 *     interrupted          the number of waits that signals have interrupted
 */
#include <linux/delay.h>
#include <linux/i2c-mux.h>
#include <linux/i2c.h>
#include <linux/module.h>
#include <linux/sched/signal.h>
#include <linux/version.h>

#define NOBODY 0x77

static int parent = -1;
static int nack = ENXIO;
static int pulse;
static bool pulse_lost;
static bool pulled;
static ushort longest;
static bool smbus;
static bool interruptible;
static uint interrupted;
static struct i2c_adapter_quirks quirks;

module_param(parent, int, 0444);
module_param(nack, int, 0644);
module_param(pulse, int, 0644);
module_param(pulse_lost, bool, 0644);
module_param(pulled, bool, 0644);
module_param_named(max_read_len, quirks.max_read_len, ushort, 0644);
module_param_named(max_write_len, quirks.max_write_len, ushort, 0644);
module_param(longest, ushort, 0644);
module_param(smbus, bool, 0644);
module_param(interruptible, bool, 0644);
module_param(interrupted, uint, 0644);

static struct i2c_adapter *below;
static struct i2c_mux_core *mux;

static int pass_on(struct i2c_msg *messages, int count)
{
	u16 address = messages[0].addr;
	int i, done;

	if (address == 0 && pulse_lost)
		return pulse ? -pulse : count;
	if (address != 0 && pulled) {
		for (i = 0; i < count; i++)
			messages[i].addr = NOBODY;
	}
	done = i2c_transfer(below, messages, count);
	for (i = 0; i < count; i++)
		messages[i].addr = address;
	if (address == 0 && pulse)
		return -pulse;
	return done == -ENXIO || done == -EREMOTEIO ? -nack : done;
}

static int transfer(struct i2c_adapter *adapter, struct i2c_msg *messages, int count)
{
	int i, done;

	if (smbus)
		return -EOPNOTSUPP;
	for (i = 0; i < count; i++) {
		if (longest && messages[i].len > longest)
			return -EINVAL;
	}
	done = pass_on(messages, count);
	if (!interruptible)
		return done;
	send_sig(SIGALRM, current, 0);
	msleep_interruptible(2);
	if (!signal_pending(current))
		return done;
	interrupted++;
	return -EINTR;
}

static u32 functions(struct i2c_adapter *adapter)
{
	return smbus ? I2C_FUNC_SMBUS_BYTE | I2C_FUNC_SMBUS_BYTE_DATA : I2C_FUNC_I2C | I2C_FUNC_SMBUS_EMUL;
}

static const struct i2c_algorithm algorithm = {
	.master_xfer = transfer,
	.functionality = functions,
};

static struct i2c_adapter twist = {
	.owner = THIS_MODULE,
	.name = "twist",
	.algo = &algorithm,
	.quirks = &quirks,
	/* After EAGAIN i2c-core repeats the transfer, for many drivers. */
	.retries = 3,
};

static int select_channel(struct i2c_mux_core *muxc, u32 channel)
{
	return 0;
}

static int add_channel(void)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 10, 0)
	return i2c_mux_add_adapter(mux, 0, 0, 0);
#else
	return i2c_mux_add_adapter(mux, 0, 0);
#endif
}

static int __init start(void)
{
	int error;

	below = i2c_get_adapter(parent);
	if (!below)
		return -ENODEV;
	error = i2c_add_adapter(&twist);
	if (error)
		goto put;
	error = -ENOMEM;
	mux = i2c_mux_alloc(&twist, &twist.dev, 1, 0, 0, select_channel, NULL);
	if (!mux)
		goto delete;
	error = add_channel();
	if (!error)
		return 0;
delete:
	i2c_del_adapter(&twist);
put:
	i2c_put_adapter(below);
	return error;
}

static void __exit stop(void)
{
	i2c_mux_del_adapters(mux);
	i2c_del_adapter(&twist);
	i2c_put_adapter(below);
}

module_init(start);
module_exit(stop);
MODULE_DESCRIPTION("I2C adapter that reports as other drivers do, for tests");
MODULE_LICENSE("Dual MIT/GPL");
