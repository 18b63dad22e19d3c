// SPDX-License-Identifier: GPL-2.0-only
/*
 * A model of a virtio-blk device with hardware queues, for hosts that have none. It
 * is a model and never hardware: a kernel thread polls the doorbell pages, which are
 * memory, in the device's place, moves the data, and calls back as its interrupt
 * would.  What is real is all around it: vhost-vdpa, the mapping of the doorbells,
 * eventfds, and the guest's driver.
 *
 * With vhost_vdpa.ko it is /dev/vhost-vdpa-N as soon as it is loaded. Its disk is
 * lost when it is unloaded.
 *
 * Below /sys/kernel/debug/model_vdpa_blk/:
 *
 * doorbells	stores to doorbell pages that the poller saw; several may be one
 * kicks	kicks that came from vhost-vdpa instead, by an eventfd
 * requests	block requests done
 * interrupts	calls back
 */
#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <linux/vdpa.h>
#include <linux/vhost_iotlb.h>
#include <linux/virtio_byteorder.h>
#include <linux/vmalloc.h>
#include <uapi/linux/virtio_blk.h>
#include <uapi/linux/virtio_config.h>
#include <uapi/linux/virtio_ids.h>
#include <uapi/linux/virtio_ring.h>

#define MAX_QUEUES	16
#define MAX_SIZE	256	/* of a queue */
#define POLL_US		50

/* What is on a doorbell page that nobody has written to: no queue has this number. */
#define NO_KICK		0xffffffff

#define FEATURES	(BIT_ULL(VIRTIO_F_VERSION_1) | BIT_ULL(VIRTIO_F_ACCESS_PLATFORM) | \
			 BIT_ULL(VIRTIO_BLK_F_FLUSH) | BIT_ULL(VIRTIO_BLK_F_MQ) | \
			 BIT_ULL(VIRTIO_BLK_F_SEG_MAX))

static unsigned int queues = 1;
module_param(queues, uint, 0444);
MODULE_PARM_DESC(queues, "how many the device has, 1 to 16");

static unsigned int mib = 16;
module_param(mib, uint, 0444);
MODULE_PARM_DESC(mib, "size of the disk");

/**
 * struct queue - of the device
 * @doorbell: a page of memory that stands for one of the device's
 * @cb: its interrupt
 * @desc: where its descriptors are, as the guest's driver says it
 * @driver: where the driver offers
 * @device: where the device returns
 * @num: how many entries each has
 * @next: the next one that the driver will offer
 * @used: how many were returned
 * @ready: it may be looked at
 * @kicked: by an eventfd; no lock
 */
struct queue {
	u32 *doorbell;
	struct vdpa_callback cb;
	u64 desc, driver, device;
	u32 num;
	u16 next, used;
	bool ready, kicked;
};

/**
 * struct model - the device
 * @vdpa: what the framework knows of it
 * @lock: guards all that follows
 * @iotlb: what the guest's addresses are for the device, as physical addresses
 * @config_cb: its interrupt for changes of its configuration
 * @features: those that the driver has taken
 * @status: the driver's, with VIRTIO_CONFIG_S_NEEDS_RESET of its own
 * @queue: as many as the parameter says
 */
struct model {
	struct vdpa_device vdpa;
	struct mutex lock;
	struct vhost_iotlb iotlb;
	struct vdpa_callback config_cb;
	u64 features;
	u8 status;
	struct queue queue[MAX_QUEUES];
};

static struct model *model;
static struct task_struct *poller;
static struct dentry *folder;
static u8 *disk;
static u64 doorbells, kicks, requests, interrupts;

/* ---- memory -------------------------------------------------------------------------- */

/* As the device's DMA: what the driver has not mapped is not reached. */
static int copy(u64 iova, void *data, size_t len, bool write)
{
	while (len) {
		struct vhost_iotlb_map *map = vhost_iotlb_itree_first(&model->iotlb, iova, iova);
		size_t part;
		void *at;

		if (!map || !(map->perm & (write ? VHOST_MAP_WO : VHOST_MAP_RO)))
			return -EFAULT;
		part = min_t(u64, len, map->last - iova + 1);
		/* Its pages are the user's, pinned. */
		at = phys_to_virt(map->addr + (iova - map->start));
		memcpy(write ? at : data, write ? data : at, part);
		iova += part;
		data += part;
		len -= part;
	}
	return 0;
}

static int read16(u64 iova, u16 *value)
{
	__virtio16 raw;
	int err = copy(iova, &raw, sizeof(raw), false);

	*value = err ? 0 : __virtio16_to_cpu(true, raw);
	return err;
}

/* ---- block requests -------------------------------------------------------------------- */

/**
 * struct request - a chain of descriptors
 * @head: the header
 * @at: where on the disk, in bytes
 * @written: of the guest's memory
 * @result: VIRTIO_BLK_S_*
 */
struct request {
	struct virtio_blk_outhdr head;
	u64 at;
	u32 written;
	u8 result;
};

static int transfer(struct request *r, u64 iova, u32 len, bool to_guest)
{
	u32 type = __virtio32_to_cpu(true, r->head.type);
	u64 size = (u64)mib << 20;
	int err;

	if (type != (to_guest ? VIRTIO_BLK_T_IN : VIRTIO_BLK_T_OUT))
		return 0;
	if (r->at > size || len > size - r->at) {
		r->result = VIRTIO_BLK_S_IOERR;
		return 0;
	}
	err = copy(iova, disk + r->at, len, to_guest);
	r->at += len;
	if (to_guest)
		r->written += len;
	return err;
}

static int begin(struct request *r, u64 iova, u32 len)
{
	int err;

	if (len != sizeof(r->head))
		return -EINVAL;
	err = copy(iova, &r->head, sizeof(r->head), false);
	r->at = __virtio64_to_cpu(true, r->head.sector);
	/* A sector so high that its address wraps is beyond the end too. */
	r->at = r->at > U64_MAX >> SECTOR_SHIFT ? U64_MAX : r->at << SECTOR_SHIFT;
	switch (__virtio32_to_cpu(true, r->head.type)) {
	case VIRTIO_BLK_T_IN:
	case VIRTIO_BLK_T_OUT:
	case VIRTIO_BLK_T_FLUSH:
		r->result = VIRTIO_BLK_S_OK;
		break;
	default:
		r->result = VIRTIO_BLK_S_UNSUPP;
		break;
	}
	return err;
}

/* The header, data, and at the end a byte for the result, each with a descriptor of its own. */
static int serve(struct queue *q, u16 head, u32 *written)
{
	struct request r = {};
	u16 at = head;

	for (u32 i = 0; i < q->num; i++) {
		struct vring_desc desc;
		u16 flags;
		u64 iova;
		u32 len;
		int err;

		if (at >= q->num || copy(q->desc + at * sizeof(desc), &desc, sizeof(desc), false))
			return -EFAULT;
		flags = __virtio16_to_cpu(true, desc.flags);
		iova = __virtio64_to_cpu(true, desc.addr);
		len = __virtio32_to_cpu(true, desc.len);
		if (!i)
			err = begin(&r, iova, len);
		else if (flags & VRING_DESC_F_NEXT)
			err = transfer(&r, iova, len, flags & VRING_DESC_F_WRITE);
		else
			err = copy(iova, &r.result, sizeof(r.result), true);
		if (err)
			return err;
		if (i && !(flags & VRING_DESC_F_NEXT)) {
			*written = r.written + sizeof(r.result);
			return 0;
		}
		at = __virtio16_to_cpu(true, desc.next);
	}
	return -ELOOP;
}

/* ---- queues ----------------------------------------------------------------------------- */

static int give_back(struct queue *q, u16 head, u32 written)
{
	struct vring_used_elem elem = {
		.id = __cpu_to_virtio32(true, head),
		.len = __cpu_to_virtio32(true, written),
	};
	u64 ring = q->device + offsetof(struct vring_used, ring);
	__virtio16 idx;
	int err;

	err = copy(ring + q->used % q->num * sizeof(elem), &elem, sizeof(elem), true);
	if (err)
		return err;
	q->used++;
	idx = __cpu_to_virtio16(true, q->used);
	/* Whoever sees the index sees the element. */
	smp_wmb();
	return copy(q->device + offsetof(struct vring_used, idx), &idx, sizeof(idx), true);
}

static int serve_next(struct queue *q)
{
	u64 ring = q->driver + offsetof(struct vring_avail, ring);
	u32 written = 0;
	u16 head;
	int err;

	err = read16(ring + q->next % q->num * sizeof(__virtio16), &head);
	if (!err)
		err = serve(q, head, &written);
	if (!err)
		err = give_back(q, head, written);
	q->next++;
	requests++;
	return err;
}

static void interrupt(const struct vdpa_callback *cb)
{
	if (!cb->callback)
		return;
	interrupts++;
	cb->callback(cb->private);
}

static int serve_all(struct queue *q)
{
	u16 end, flags, first = q->next;
	int err;

	while (!(err = read16(q->driver + offsetof(struct vring_avail, idx), &end)) &&
	       q->next != end) {
		if ((u16)(end - q->next) > q->num)
			return -EINVAL;
		/* What the index says is there is read after it. */
		smp_rmb();
		err = serve_next(q);
		if (err)
			return err;
	}
	if (err || q->next == first)
		return err;
	/* The driver sees the index, or we see that it wants to hear of it. */
	smp_mb();
	err = read16(q->driver + offsetof(struct vring_avail, flags), &flags);
	if (!err && !(flags & VRING_AVAIL_F_NO_INTERRUPT))
		interrupt(&q->cb);
	return err;
}

static bool is_live(const struct queue *q)
{
	return q->ready && q->num && model->status & VIRTIO_CONFIG_S_DRIVER_OK &&
	       !(model->status & VIRTIO_CONFIG_S_NEEDS_RESET);
}

/* What the driver got wrong stops the device until it is reset. */
static void serve_queue(struct queue *q)
{
	lockdep_assert_held(&model->lock);
	if (!is_live(q) || !serve_all(q))
		return;
	model->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
	interrupt(&model->config_cb);
}

/* ---- in the hardware's place ------------------------------------------------------------ */

static bool was_written(struct queue *q)
{
	return READ_ONCE(*q->doorbell) != NO_KICK && xchg(q->doorbell, NO_KICK) != NO_KICK;
}

static void poll_queue(struct queue *q)
{
	bool kicked, written;

	if (!is_live(q))
		return;
	kicked = xchg(&q->kicked, false);
	written = was_written(q);
	kicks += kicked;
	doorbells += written;
	if (kicked || written)
		serve_queue(q);
}

static int poll(void *unused)
{
	while (!kthread_should_stop()) {
		mutex_lock(&model->lock);
		for (unsigned int i = 0; i < queues; i++)
			poll_queue(&model->queue[i]);
		mutex_unlock(&model->lock);
		usleep_range(POLL_US, 2 * POLL_US);
	}
	return 0;
}

/* ---- what vhost-vdpa asks of it ----------------------------------------------------------- */

static int set_vq_address(struct vdpa_device *vdpa, u16 i, u64 desc, u64 driver, u64 device)
{
	struct queue *q = &model->queue[i];

	guard(mutex)(&model->lock);
	q->desc = desc;
	q->driver = driver;
	q->device = device;
	return 0;
}

static void set_vq_num(struct vdpa_device *vdpa, u16 i, u32 num)
{
	guard(mutex)(&model->lock);
	model->queue[i].num = min_t(u32, num, MAX_SIZE);
}

static void kick_vq(struct vdpa_device *vdpa, u16 i)
{
	/* Whoever signals an eventfd waits, with interrupts off: the rest is the poller's. */
	WRITE_ONCE(model->queue[i].kicked, true);
}

static void set_vq_cb(struct vdpa_device *vdpa, u16 i, struct vdpa_callback *cb)
{
	guard(mutex)(&model->lock);
	model->queue[i].cb = *cb;
}

static void set_vq_ready(struct vdpa_device *vdpa, u16 i, bool ready)
{
	guard(mutex)(&model->lock);
	if (ready && !model->queue[i].ready)
		WRITE_ONCE(*model->queue[i].doorbell, NO_KICK);
	model->queue[i].ready = ready;
}

static bool get_vq_ready(struct vdpa_device *vdpa, u16 i)
{
	guard(mutex)(&model->lock);
	return model->queue[i].ready;
}

static int set_vq_state(struct vdpa_device *vdpa, u16 i, const struct vdpa_vq_state *state)
{
	guard(mutex)(&model->lock);
	model->queue[i].next = state->split.avail_index;
	model->queue[i].used = state->split.avail_index;
	return 0;
}

static int get_vq_state(struct vdpa_device *vdpa, u16 i, struct vdpa_vq_state *state)
{
	guard(mutex)(&model->lock);
	state->split.avail_index = model->queue[i].next;
	return 0;
}

static struct vdpa_notification_area get_vq_notification(struct vdpa_device *vdpa, u16 i)
{
	return (struct vdpa_notification_area){
		.addr = virt_to_phys(model->queue[i].doorbell),
		.size = PAGE_SIZE,
	};
}

static u32 get_vq_align(struct vdpa_device *vdpa)
{
	return PAGE_SIZE;
}

static u64 get_device_features(struct vdpa_device *vdpa)
{
	return FEATURES;
}

static int set_driver_features(struct vdpa_device *vdpa, u64 features)
{
	guard(mutex)(&model->lock);
	if (!(features & BIT_ULL(VIRTIO_F_VERSION_1)))
		return -EINVAL;
	model->features = features & FEATURES;
	return 0;
}

static u64 get_driver_features(struct vdpa_device *vdpa)
{
	guard(mutex)(&model->lock);
	return model->features;
}

static void set_config_cb(struct vdpa_device *vdpa, struct vdpa_callback *cb)
{
	guard(mutex)(&model->lock);
	model->config_cb = *cb;
}

static u16 get_vq_num_max(struct vdpa_device *vdpa)
{
	return MAX_SIZE;
}

static u32 get_device_id(struct vdpa_device *vdpa)
{
	return VIRTIO_ID_BLOCK;
}

static u32 get_vendor_id(struct vdpa_device *vdpa)
{
	return 0;
}

static u8 get_status(struct vdpa_device *vdpa)
{
	guard(mutex)(&model->lock);
	return model->status;
}

static void set_status(struct vdpa_device *vdpa, u8 status)
{
	guard(mutex)(&model->lock);
	model->status = status | (model->status & VIRTIO_CONFIG_S_NEEDS_RESET);
}

/* But for what the driver has mapped, and the disk. */
static int reset(struct vdpa_device *vdpa)
{
	guard(mutex)(&model->lock);
	for (unsigned int i = 0; i < queues; i++)
		model->queue[i] = (struct queue){ .doorbell = model->queue[i].doorbell };
	model->config_cb = (struct vdpa_callback){};
	model->features = 0;
	model->status = 0;
	return 0;
}

static size_t get_config_size(struct vdpa_device *vdpa)
{
	return sizeof(struct virtio_blk_config);
}

static void get_config(struct vdpa_device *vdpa, unsigned int offset, void *buf, unsigned int len)
{
	const struct virtio_blk_config config = {
		.capacity = __cpu_to_virtio64(true, (u64)mib << (20 - SECTOR_SHIFT)),
		.seg_max = __cpu_to_virtio32(true, MAX_SIZE - 2),
		.num_queues = __cpu_to_virtio16(true, queues),
	};

	if (offset <= sizeof(config) && len <= sizeof(config) - offset)
		memcpy(buf, (const u8 *)&config + offset, len);
}

/* There is nothing that a driver could set. */
static void set_config(struct vdpa_device *vdpa, unsigned int offset, const void *buf,
		       unsigned int len)
{
}

static int dma_map(struct vdpa_device *vdpa, unsigned int asid, u64 iova, u64 size, u64 pa,
		   u32 perm, void *opaque)
{
	guard(mutex)(&model->lock);
	return vhost_iotlb_add_range(&model->iotlb, iova, iova + size - 1, pa, perm);
}

static int dma_unmap(struct vdpa_device *vdpa, unsigned int asid, u64 iova, u64 size)
{
	guard(mutex)(&model->lock);
	vhost_iotlb_del_range(&model->iotlb, iova, iova + size - 1);
	return 0;
}

/* By the last reference; also where it was never registered. */
static void release(struct vdpa_device *vdpa)
{
	struct model *m = container_of(vdpa, struct model, vdpa);

	vhost_iotlb_reset(&m->iotlb);
	for (unsigned int i = 0; i < MAX_QUEUES; i++)
		free_page((unsigned long)m->queue[i].doorbell);
}

static const struct vdpa_config_ops ops = {
	.set_vq_address		= set_vq_address,
	.set_vq_num		= set_vq_num,
	.kick_vq		= kick_vq,
	.set_vq_cb		= set_vq_cb,
	.set_vq_ready		= set_vq_ready,
	.get_vq_ready		= get_vq_ready,
	.set_vq_state		= set_vq_state,
	.get_vq_state		= get_vq_state,
	.get_vq_notification	= get_vq_notification,
	.get_vq_align		= get_vq_align,
	.get_device_features	= get_device_features,
	.set_driver_features	= set_driver_features,
	.get_driver_features	= get_driver_features,
	.set_config_cb		= set_config_cb,
	.get_vq_num_max		= get_vq_num_max,
	.get_device_id		= get_device_id,
	.get_vendor_id		= get_vendor_id,
	.get_status		= get_status,
	.set_status		= set_status,
	.reset			= reset,
	.get_config_size	= get_config_size,
	.get_config		= get_config,
	.set_config		= set_config,
	.dma_map		= dma_map,
	.dma_unmap		= dma_unmap,
	.free			= release,
};

/* ---- loaded ------------------------------------------------------------------------------- */

static int create(void)
{
	model = vdpa_alloc_device(struct model, vdpa, NULL, &ops, 1, 1, "model-blk", false);
	if (IS_ERR(model))
		return PTR_ERR(model);
	mutex_init(&model->lock);
	vhost_iotlb_init(&model->iotlb, UINT_MAX, 0);
	model->vdpa.dma_dev = &model->vdpa.dev;
	for (unsigned int i = 0; i < queues; i++) {
		model->queue[i].doorbell = (u32 *)get_zeroed_page(GFP_KERNEL);
		if (!model->queue[i].doorbell)
			return -ENOMEM;
	}
	return 0;
}

static int __init model_init(void)
{
	int err;

	if (!queues || queues > MAX_QUEUES || !mib)
		return -EINVAL;
	disk = vzalloc((size_t)mib << 20);
	if (!disk)
		return -ENOMEM;
	err = create();
	if (IS_ERR(model))
		goto free_disk;
	if (err)
		goto put;
	poller = kthread_run(poll, NULL, "model-vdpa-blk");
	if (IS_ERR(poller)) {
		err = PTR_ERR(poller);
		goto put;
	}
	err = vdpa_register_device(&model->vdpa, queues);
	if (err)
		goto stop;
	folder = debugfs_create_dir(KBUILD_MODNAME, NULL);
	debugfs_create_u64("doorbells", 0444, folder, &doorbells);
	debugfs_create_u64("kicks", 0444, folder, &kicks);
	debugfs_create_u64("requests", 0444, folder, &requests);
	debugfs_create_u64("interrupts", 0444, folder, &interrupts);
	return 0;

stop:
	kthread_stop(poller);
put:
	put_device(&model->vdpa.dev);
free_disk:
	vfree(disk);
	return err;
}

/* The poller ends before the device: unregistering may free it. */
static void __exit model_exit(void)
{
	debugfs_remove(folder);
	kthread_stop(poller);
	vdpa_unregister_device(&model->vdpa);
	vfree(disk);
}

module_init(model_init);
module_exit(model_exit);

MODULE_DESCRIPTION("A model of a virtio-blk device with doorbells; not hardware");
MODULE_LICENSE("GPL");
