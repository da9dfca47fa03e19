import fc from 'fast-check';
import t from 'tap';
import { readCgroupPath } from '../../src/process/cgroup-path.js';

const ID = '97fab17628d823bbef8842eaa4a87a1697fab17628d823bbef8842eaa4a87a16';
const OTHER = '0123456789abcdef'.repeat(4);
const POD = '74c13223-5a00-11e9-b385-42010a80018d';
const POD_ = POD.replaceAll('-', '_');
const NOTHING = { unit: '', containerId: '', containerRuntime: '', podUid: '' };

function container(containerRuntime: string, unit = '', podUid = '') {
  return { unit, containerId: ID, containerRuntime, podUid };
}

const CASES = [
  { name: 'the root', path: '/', expected: NOTHING },
  { name: 'nothing', path: '', expected: NOTHING },
  {
    name: 'a service',
    path: '/system.slice/ssh.service',
    expected: { ...NOTHING, unit: 'ssh.service' },
  },
  {
    name: 'a service in a slice of its own',
    path: '/system.slice/system-getty.slice/getty@tty1.service',
    expected: { ...NOTHING, unit: 'getty@tty1.service' },
  },
  {
    name: 'a unit whose name is escaped',
    path: '/system.slice/systemd-fsck@dev-disk-by\\x2duuid-1.service',
    expected: { ...NOTHING, unit: 'systemd-fsck@dev-disk-by\\x2duuid-1.service' },
  },
  {
    name: 'a unit that would look like a file of the kernel',
    path: '/system.slice/_cpu.service',
    expected: { ...NOTHING, unit: 'cpu.service' },
  },
  { name: 'PID 1', path: '/init.scope', expected: { ...NOTHING, unit: 'init.scope' } },
  {
    name: 'a login session',
    path: '/user.slice/user-1000.slice/session-3.scope',
    expected: { ...NOTHING, unit: 'session-3.scope' },
  },
  {
    name: "a unit of a user's systemd",
    path: '/user.slice/user-1000.slice/user@1000.service/app.slice/app-gnome-firefox-2.scope',
    expected: { ...NOTHING, unit: 'app-gnome-firefox-2.scope' },
  },
  {
    name: "a user's systemd itself",
    path: '/user.slice/user-1000.slice/user@1000.service/init.scope',
    expected: { ...NOTHING, unit: 'init.scope' },
  },
  {
    name: 'docker, systemd driver',
    path: `/system.slice/docker-${ID}.scope`,
    expected: container('docker', `docker-${ID}.scope`),
  },
  { name: 'docker, cgroupfs driver', path: `/docker/${ID}`, expected: container('docker') },
  {
    name: 'a service of a systemd inside of docker',
    path: `/system.slice/docker-${ID}.scope/system.slice/nginx.service`,
    expected: container('docker', `docker-${ID}.scope`),
  },
  {
    name: 'docker in docker: the inner one',
    path: `/docker/${OTHER}/docker/${ID}`,
    expected: container('docker'),
  },
  { name: 'ECS', path: `/ecs/0a1b2c3d/${ID}`, expected: container('docker') },
  {
    name: 'the service of the docker daemon',
    path: '/system.slice/docker.service',
    expected: { ...NOTHING, unit: 'docker.service' },
  },
  {
    name: 'podman of root',
    path: `/machine.slice/libpod-${ID}.scope/container`,
    expected: container('podman', `libpod-${ID}.scope`),
  },
  {
    name: 'podman of a user',
    path: `/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-${ID}.scope`,
    expected: container('podman', `libpod-${ID}.scope`),
  },
  {
    name: 'podman, cgroupfs driver',
    path: `/libpod_parent/libpod-${ID}`,
    expected: container('podman'),
  },
  {
    name: 'podman as a service, split cgroups',
    path: `/system.slice/web.service/libpod-payload-${ID}`,
    expected: container('podman', 'web.service'),
  },
  {
    name: "podman's monitor is not in the container",
    path: `/machine.slice/libpod-conmon-${ID}.scope`,
    expected: { ...NOTHING, unit: `libpod-conmon-${ID}.scope` },
  },
  {
    name: 'a pod of podman has no Kubernetes uid',
    path: `/machine.slice/machine-libpod_pod_${OTHER}.slice/libpod-${ID}.scope`,
    expected: container('podman', `libpod-${ID}.scope`),
  },
  {
    name: 'nerdctl, systemd driver',
    path: `/system.slice/nerdctl-${ID}.scope`,
    expected: container('containerd', `nerdctl-${ID}.scope`),
  },
  {
    name: 'nerdctl, cgroupfs driver',
    path: `/default/${ID}`,
    expected: container('containerd'),
  },
  {
    name: 'Kubernetes, containerd, burstable, systemd driver',
    path: `/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${POD_}.slice/cri-containerd-${ID}.scope`,
    expected: container('containerd', `cri-containerd-${ID}.scope`, POD),
  },
  {
    name: 'Kubernetes, containerd, besteffort, systemd driver',
    path: `/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod${POD_}.slice/cri-containerd-${ID}.scope`,
    expected: container('containerd', `cri-containerd-${ID}.scope`, POD),
  },
  {
    name: 'Kubernetes, containerd, guaranteed, systemd driver',
    path: `/kubepods.slice/kubepods-pod${POD_}.slice/cri-containerd-${ID}.scope`,
    expected: container('containerd', `cri-containerd-${ID}.scope`, POD),
  },
  {
    name: 'Kubernetes, besteffort, cgroupfs driver: the path does not say which runtime',
    path: `/kubepods/besteffort/pod${POD}/${ID}`,
    expected: container('', '', POD),
  },
  {
    name: 'Kubernetes, guaranteed, cgroupfs driver',
    path: `/kubepods/pod${POD}/${ID}`,
    expected: container('', '', POD),
  },
  {
    name: 'k3s in its service',
    path: `/system.slice/k3s.service/kubepods/burstable/pod${POD}/${ID}`,
    expected: container('', 'k3s.service', POD),
  },
  {
    name: 'Kubernetes with cri-o, systemd driver',
    path: `/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${POD_}.slice/crio-${ID}.scope/container`,
    expected: container('cri-o', `crio-${ID}.scope`, POD),
  },
  {
    name: 'Kubernetes with cri-o, cgroupfs driver',
    path: `/kubepods/burstable/pod${POD}/crio-${ID}`,
    expected: container('cri-o', '', POD),
  },
  {
    name: "cri-o's monitor is not in the container, but in the pod",
    path: `/kubepods.slice/kubepods-pod${POD_}.slice/crio-conmon-${ID}.scope`,
    expected: { ...NOTHING, unit: `crio-conmon-${ID}.scope`, podUid: POD },
  },
  {
    name: 'Kubernetes with docker',
    path: `/kubepods.slice/kubepods-pod${POD_}.slice/docker-${ID}.scope`,
    expected: container('docker', `docker-${ID}.scope`, POD),
  },
  {
    name: 'a static pod, whose uid is a hash',
    path: `/kubepods/burstable/pod${OTHER.slice(0, 32)}/${ID}`,
    expected: container('', '', OTHER.slice(0, 32)),
  },
  {
    name: 'containerd with one driver and the kubelet with the other',
    path: `/system.slice/containerd.service/kubepods-burstable-pod${POD_}.slice:cri-containerd:${ID}`,
    expected: container('containerd', 'containerd.service', POD),
  },
  {
    name: 'kind: the pod inside of the node',
    path: `/system.slice/docker-${OTHER}.scope/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/kubelet-kubepods-besteffort-pod${POD_}.slice/cri-containerd-${ID}.scope`,
    expected: container('containerd', `docker-${OTHER}.scope`, POD),
  },
  {
    name: 'LXC',
    path: '/lxc.payload.web-1/system.slice/nginx.service',
    expected: { ...NOTHING, containerId: 'web-1', containerRuntime: 'lxc' },
  },
  { name: "LXC's monitor", path: '/lxc.monitor.web-1', expected: NOTHING },
  {
    name: 'Proxmox',
    path: '/lxc/101/ns/system.slice/ssh.service',
    expected: { ...NOTHING, containerId: '101', containerRuntime: 'lxc' },
  },
  {
    name: 'systemd-nspawn',
    path: '/machine.slice/systemd-nspawn@my\\x2dweb.service/payload/system.slice/nginx.service',
    expected: {
      ...{ unit: 'systemd-nspawn@my\\x2dweb.service', podUid: '' },
      ...{ containerId: 'my-web', containerRuntime: 'nspawn' },
    },
  },
  {
    name: 'systemd-nspawn itself',
    path: '/machine.slice/systemd-nspawn@web.service/supervisor',
    expected: { ...NOTHING, unit: 'systemd-nspawn@web.service' },
  },
  {
    name: 'systemd-nspawn from a shell',
    path: '/machine.slice/machine-web.scope/payload/init.scope',
    expected: {
      ...{ unit: 'machine-web.scope', podUid: '' },
      ...{ containerId: 'web', containerRuntime: 'nspawn' },
    },
  },
  {
    name: 'a virtual machine is no container',
    path: '/machine.slice/machine-qemu\\x2d1\\x2dvm.scope/libvirt/emulator',
    expected: { ...NOTHING, unit: 'machine-qemu\\x2d1\\x2dvm.scope' },
  },
  {
    name: 'an id that is too short is none',
    path: `/docker/${ID.slice(1)}`,
    expected: NOTHING,
  },
  {
    name: 'a name that is a property of every object',
    path: `/constructor/${ID}`,
    expected: container(''),
  },
];

t.test('a path says what is in the cgroup', async (t) => {
  for (const { name, path, expected } of CASES) t.same(readCgroupPath(path), expected, name);
});

t.test('any path gives an answer', async () => {
  const part = fc.oneof(
    fc.string(),
    fc.constantFrom('docker', 'lxc', 'payload', 'user@1.service', `crio-${ID}`, 'x.slice', ID),
  );
  fc.assert(
    fc.property(fc.array(part, { maxLength: 8 }), (parts) => {
      const { containerId, containerRuntime } = readCgroupPath(`/${parts.join('/')}`);
      if (containerRuntime !== '' && containerId === '') throw new Error('a runtime of nothing');
    }),
  );
});
