//! One model on a GPU: its buffers, its programs made ready, and their submits.

use super::device::Gpu;
use super::pipeline::{Pipeline, Rewrite};
use super::readback::{Staging, map, staging_bytes};
use super::under_way::{Content, UnderWay, lines};
use crate::error::{Error, Result};
use crate::kernels::words::STATE_MICRO;
use crate::kernels::{DIMS, Kernel, LogShape};
use crate::plan::{
    Blocking, BufferId, BufferSpec, Clock, Cuts, DataId, Dispatch, Handle, Lasts, Layout, LogLine, PendingRead, Program, Purpose, Session,
    StateSet, Submit, Ticket, Timing, Traffic, Usage,
};
use std::collections::HashMap;
use std::sync::Arc;
use std::task::Waker;

/// One model's buffers on a GPU, and its programs made ready.
pub struct GpuSession {
    pub(super) gpu: Arc<Gpu>,
    pub(super) checked: bool,
    /// The errors that tests plant in kernels.
    pub(super) planted: Option<Rewrite>,
    pub(super) poisoned: bool,
    /// The model's buffers, as they were asked for when the session was made.
    specs: Vec<BufferSpec>,
    /// Where arenas lie in several of them.
    cuts: Cuts,
    fixed: HashMap<BufferId, wgpu::Buffer>,
    slots: Vec<wgpu::Buffer>,
    /// Counts up when slots are made anew, since bind groups must be made anew then.
    generation: u64,
    data: Vec<Option<wgpu::Buffer>>,
    pub(super) programs: Vec<Option<Prepared>>,
    pub(super) under_way: UnderWay,
    pub(super) staging: Staging,
    pub(super) traffic: Traffic,
}

pub(super) struct Prepared {
    pub(super) program: Arc<Program>,
    pub(super) schedule: Vec<Dispatch>,
    /// The workgroups of each launch.
    grids: Vec<[u32; 3]>,
    data: Vec<DataId>,
    pub(super) pipelines: Vec<Arc<Pipeline>>,
    dims: wgpu::Buffer,
    tables: Option<wgpu::Buffer>,
    pub(super) groups: Vec<wgpu::BindGroup>,
    generation: u64,
}

impl Prepared {
    /// Encodes one of its dispatches.
    pub(super) fn dispatch(&self, pass: &mut wgpu::ComputePass<'_>, d: Dispatch) {
        self.pipelines[d.launch].dispatch(pass, &self.groups[d.row], self.grids[d.launch]);
    }
}

impl GpuSession {
    /// Allocates the arenas. `checked` keeps wgpu's checks in the shaders.
    pub fn new(gpu: Arc<Gpu>, layout: Layout, checked: bool) -> Result<Self> {
        let mut s = GpuSession {
            gpu,
            checked,
            planted: None,
            poisoned: false,
            specs: layout.buffers(),
            cuts: layout.cuts.clone(),
            fixed: HashMap::new(),
            slots: Vec::new(),
            generation: 0,
            data: Vec::new(),
            programs: Vec::new(),
            under_way: UnderWay::default(),
            staging: Staging::default(),
            traffic: Traffic::default(),
        };
        layout.buffers().iter().try_for_each(|spec| s.hold(spec))?;
        s.staging.grow(&s.gpu, staging_bytes(LogShape::of(0)));
        Ok(s)
    }

    /// Makes a buffer of a model, if the session does not have it in this size. No line of a log is lost: the submit that wrote it has copied
    /// it out.
    fn hold(&mut self, spec: &BufferSpec) -> Result<()> {
        let (id, bytes) = (spec.id, 4 * spec.words as u64);
        if bytes == 0 || self.fixed.get(&id).is_some_and(|b| b.size() >= bytes) {
            return Ok(());
        }
        let more = match spec.usage {
            Usage::Uniform => wgpu::BufferUsages::UNIFORM,
            Usage::Storage => wgpu::BufferUsages::empty(),
        };
        let buffer = self.buffer(&format!("{id:?}"), bytes, more)?;
        if self.fixed.insert(id, buffer).is_some() {
            self.generation += 1;
        }
        match id {
            // a line that no step has written belongs to no batch
            BufferId::Log(_) => self.write(id, 0, &vec![u32::MAX; spec.words]),
            _ => Ok(()),
        }
    }

    /// Fails if one binding cannot hold so many bytes.
    fn fits(&self, label: &str, bytes: u64) -> Result<()> {
        let limit = self.gpu.summary.caps().binding_bytes as u64;
        if bytes <= limit {
            return Ok(());
        }
        Err(Error::OutOfMemory {
            what: format!("the buffer {label} of {}", self.gpu.summary.name),
            needed: bytes,
            available: limit,
            biggest: vec![format!("{label}: {bytes} bytes in one binding")],
            help: "take a smaller batch or a smaller model (`Program::explain` lists what is large); `cpu` has no such limit".into(),
        })
    }

    fn buffer(&self, label: &str, bytes: u64, more: wgpu::BufferUsages) -> Result<wgpu::Buffer> {
        self.fits(label, bytes)?;
        let buffer = self.gpu.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(label),
            size: bytes.max(4),
            usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST | more,
            mapped_at_creation: false,
        });
        self.gpu.check(&format!("the buffer {label}")).map_err(|e| self.refused(e, bytes))?;
        Ok(buffer)
    }

    /// The driver's refusal with the numbers that the driver does not tell.
    fn refused(&self, e: Error, bytes: u64) -> Error {
        match e {
            Error::OutOfMemory { what, biggest, help, .. } => {
                let what = format!("{what}, beside the {} bytes that the model holds on {},", self.bytes(), self.gpu.summary.name);
                Error::OutOfMemory { what, needed: bytes, available: 0, biggest, help }
            }
            e => e,
        }
    }

    /// The words that a program's kernels look up.
    fn tables(&self, words: &[u32]) -> Result<wgpu::Buffer> {
        let buffer = self.buffer("tables", 4 * words.len() as u64, wgpu::BufferUsages::empty())?;
        self.gpu.queue.write_buffer(&buffer, 0, bytemuck::cast_slice(words));
        Ok(buffer)
    }

    pub(super) fn find(&self, id: BufferId, data: &[DataId]) -> Result<&wgpu::Buffer> {
        let found = match id {
            BufferId::Slot(i) => self.slots.get(i),
            BufferId::Data(i) => data.get(i).and_then(|d| self.data.get(d.0)).and_then(Option::as_ref),
            id => self.fixed.get(&id),
        };
        found.ok_or_else(|| Error::NotFound { what: "buffer".into(), name: format!("{id:?}"), at: "the GPU session".into(), known: vec![] })
    }

    fn bind(&self, p: &Prepared) -> Result<Vec<wgpu::BindGroup>> {
        // one for each row of sizes, in order
        let mut groups = Vec::with_capacity(p.program.rows());
        for d in &p.schedule {
            if d.row < groups.len() {
                continue;
            }
            let launch = &p.program.launches[d.launch];
            let row = wgpu::BufferBinding {
                buffer: &p.dims,
                offset: 4 * (d.row * DIMS) as u64,
                size: std::num::NonZeroU64::new(4 * DIMS as u64),
            };
            let mut entries = vec![wgpu::BindGroupEntry { binding: 0, resource: wgpu::BindingResource::Buffer(row) }];
            for (j, id) in launch.buffers.iter().enumerate() {
                let own = p.tables.as_ref().filter(|_| *id == BufferId::Tables);
                let resource = own.map_or_else(|| self.find(*id, &p.data), Ok)?.as_entire_binding();
                entries.push(wgpu::BindGroupEntry { binding: 1 + j as u32, resource });
            }
            groups.push(self.gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some(&launch.label),
                layout: &p.pipelines[d.launch].layout,
                entries: &entries,
            }));
        }
        self.gpu.check("a bind group")?;
        Ok(groups)
    }

    /// Submits commands that end with a copy into this staging buffer, waits for them, and reads the buffer.
    pub(super) fn read_through(
        &mut self,
        what: &str,
        encoder: wgpu::CommandEncoder,
        staging: wgpu::Buffer,
        words: usize,
    ) -> Result<Vec<u32>> {
        let index = self.gpu.queue.submit([encoder.finish()]);
        self.gpu.check(what)?; // a submit that was refused never ends
        let mapped = map(&staging);
        self.gpu.wait_mapped(&index, &mapped)?;
        let out = self.gpu.mapped_words("reading back", &staging, words)?;
        self.staging.give_back(staging);
        Ok(out)
    }
}

impl Session for GpuSession {
    fn new_data(&mut self, words: usize) -> Result<DataId> {
        let buffer = self.buffer("data", 4 * words as u64, wgpu::BufferUsages::empty())?;
        self.data.push(Some(buffer));
        Ok(DataId(self.data.len() - 1))
    }

    fn write_data(&mut self, id: DataId, offset: usize, words: &[u32]) -> Result<()> {
        let buffer = self.find(BufferId::Data(0), &[id])?;
        if 4 * (offset + words.len()) as u64 > buffer.size() {
            let problem = format!("{} words at {offset} of a field of {} bytes", words.len(), buffer.size());
            return Err(Error::DeviceFault { what: "writing data".into(), problem, device: self.gpu.summary.name.clone() });
        }
        self.gpu.queue.write_buffer(buffer, 4 * offset as u64, bytemuck::cast_slice(words));
        self.traffic.written += 4 * words.len() as u64;
        self.gpu.check("the data set")
    }

    fn data_limit(&self) -> usize {
        self.gpu.summary.caps().binding_bytes / 4
    }

    fn drop_data(&mut self, id: DataId) {
        if let Some(slot) = self.data.get_mut(id.0) {
            *slot = None;
        }
        for p in self.programs.iter_mut().filter(|p| p.as_ref().is_some_and(|p| p.data.contains(&id))) {
            *p = None;
        }
    }

    fn prepare(&mut self, program: &Arc<Program>, data: &[DataId]) -> Result<Handle> {
        // all slots are checked before the first is made, so that a program that does not fit changes nothing
        program.slots.iter().enumerate().try_for_each(|(i, &bytes)| self.fits(&format!("slot {i}"), bytes as u64))?;
        program.countable()?;
        program.addressable()?;
        if self.gpu.target() != crate::kernels::Target::Gpu {
            program.turns_end()?;
        }
        for (i, &bytes) in program.slots.iter().enumerate() {
            let label = format!("slot {i}");
            if self.slots.len() <= i {
                self.slots.push(self.buffer(&label, bytes as u64, wgpu::BufferUsages::empty())?);
                self.generation += 1;
            } else if self.slots[i].size() < bytes as u64 {
                self.slots[i] = self.buffer(&label, bytes as u64, wgpu::BufferUsages::empty())?;
                self.generation += 1;
            }
        }
        program.needs().buffers().iter().filter(|b| b.id.grows()).try_for_each(|b| self.hold(b))?;
        self.staging.grow(&self.gpu, staging_bytes(program.log()));
        let text = |kernel: &Kernel| match &self.planted {
            None => kernel.source(),
            Some(rewrite) => rewrite(kernel, kernel.source()),
        };
        let wanted = program.launches.iter().map(|l| (&l.kernel, text(&l.kernel))).collect();
        let pipelines = self.gpu.pipelines(wanted, self.checked)?;
        let words = program.sizes();
        let dims = self.gpu.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("dims"),
            size: 4 * words.len() as u64,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        self.gpu.queue.write_buffer(&dims, 0, bytemuck::cast_slice(&words));
        let tables = (!program.tables.is_empty()).then(|| self.tables(&program.tables)).transpose()?;
        let schedule = program.schedule().collect();
        let mut prepared = Prepared {
            program: program.clone(),
            schedule,
            grids: program.launches.iter().map(|l| l.kernel.grid()).collect(),
            data: data.to_vec(),
            pipelines,
            dims,
            tables,
            groups: vec![],
            generation: self.generation,
        };
        prepared.groups = self.bind(&prepared)?;
        let free = self.programs.iter().position(Option::is_none);
        match free {
            Some(i) => self.programs[i] = Some(prepared),
            None => self.programs.push(Some(prepared)),
        }
        Ok(Handle(free.unwrap_or(self.programs.len() - 1)))
    }

    fn drop_program(&mut self, handle: Handle) {
        if let Some(p) = self.programs.get_mut(handle.0) {
            *p = None;
        }
    }

    fn write(&mut self, buffer: BufferId, offset: usize, words: &[u32]) -> Result<()> {
        self.traffic.written += 4 * words.len() as u64;
        let mut rest = words;
        for p in self.cuts.pieces(buffer, offset, words.len()) {
            let (own, after) = rest.split_at(p.len);
            let target = self.find(p.buffer, &[])?;
            self.gpu.queue.write_buffer(target, 4 * p.offset as u64, bytemuck::cast_slice(own));
            rest = after;
        }
        self.gpu.check("writing a buffer")
    }

    fn start_read(&mut self, buffer: BufferId, offset: usize, len: usize) -> Result<PendingRead> {
        self.under_way.sweep(&mut self.staging);
        self.traffic.reads += 1;
        let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
        let mut parts = Vec::new();
        for p in self.cuts.pieces(buffer, offset, len) {
            let bytes = 4 * p.len as u64;
            let staging = self.staging.take(&self.gpu, bytes);
            encoder.copy_buffer_to_buffer(self.find(p.buffer, &[])?, 4 * p.offset as u64, &staging, 0, bytes);
            parts.push((p.len, staging));
        }
        let index = self.gpu.queue.submit([encoder.finish()]);
        self.gpu.check("reading back")?; // a submit that was refused never ends
        let read = PendingRead::new(UnderWay::next());
        for (i, (len, staging)) in parts.into_iter().enumerate() {
            let content = if i == 0 { Content::Read(read.clone(), len) } else { Content::More(len) };
            self.under_way.push(read.number(), content, staging, index.clone());
        }
        Ok(read)
    }

    fn take_read(&mut self, read: &PendingRead) -> Result<Option<Vec<u32>>> {
        Ok(self.under_way.take(&self.gpu, &mut self.staging, read.number())?.map(|(_, words)| words))
    }

    fn submit(&mut self, submit: Submit<'_>) -> Result<Ticket> {
        let mut given = false;
        for (handle, _) in submit.runs {
            given |= self.with(*handle, |_, p| Ok(p.program.purpose == Purpose::Update))?;
        }
        if self.poisoned {
            self.poison_now(given)?;
        }
        self.encode(submit)
    }

    fn take_log(&mut self, ticket: Ticket) -> Result<Option<Vec<LogLine>>> {
        let taken = self.under_way.take(&self.gpu, &mut self.staging, ticket.0)?;
        Ok(taken.map(|(content, words)| match content {
            Content::Log { first_batch, shape, .. } => lines(first_batch, shape, &words),
            Content::Read(..) | Content::More(_) => vec![],
        }))
    }

    fn oldest(&self, set: StateSet) -> Option<Ticket> {
        self.under_way.oldest(set).map(Ticket)
    }

    fn forget(&mut self, set: StateSet) {
        self.under_way.forget(&mut self.staging, set);
    }

    fn progress(&mut self) -> Result<()> {
        self.gpu.look()
    }

    fn wait(&mut self) -> Result<()> {
        self.under_way.wait(&self.gpu)
    }

    fn wake(&mut self, waker: &Waker) {
        self.under_way.wake(&self.gpu, waker);
    }

    fn profile(&mut self, handle: Handle, clock: Option<Clock>) -> Result<Timing> {
        self.with(handle, |s, p| s.timed_step(p, clock))
    }

    fn poison(&mut self) {
        self.poisoned = true;
    }

    fn traffic(&self) -> Traffic {
        self.traffic
    }

    fn in_flight(&self) -> usize {
        self.under_way.logs()
    }

    fn bytes(&self) -> u64 {
        let all = self.fixed.values().chain(&self.slots).chain(self.data.iter().flatten());
        let staging = self.staging.idle().iter().chain(self.under_way.staging());
        let dims = self.programs.iter().flatten().map(|p| p.dims.size());
        all.chain(staging).map(wgpu::Buffer::size).sum::<u64>() + dims.sum::<u64>()
    }
}

impl GpuSession {
    /// Calls `f` with a program, whose bind groups are made anew where slots have changed.
    fn with<T>(&mut self, handle: Handle, f: impl FnOnce(&mut Self, &Prepared) -> Result<T>) -> Result<T> {
        let gone = || Error::NotFound { what: "program".into(), name: format!("{handle:?}"), at: "the GPU session".into(), known: vec![] };
        let mut p = self.programs.get_mut(handle.0).and_then(Option::take).ok_or_else(gone)?;
        let fresh =
            if p.generation == self.generation { Ok(()) } else { self.bind(&p).map(|g| (p.groups, p.generation) = (g, self.generation)) };
        let done = fresh.and_then(|()| f(self, &p));
        self.programs[handle.0] = Some(p);
        done
    }

    /// Fills with NaN what [`Session::poison`] names, but for gradients that are given.
    fn poison_now(&mut self, given: bool) -> Result<()> {
        let between = self.read(BufferId::State(StateSet::Train), STATE_MICRO, 1)?[0] == 0;
        let words = |b: &wgpu::Buffer| (b.size() / 4) as usize;
        let slots = self.slots.iter().enumerate().map(|(i, b)| (BufferId::Slot(i), words(b)));
        let mut all: Vec<(BufferId, usize)> = slots.collect();
        let held = |id: BufferId| self.fixed.get(&id).map(|b| (id, words(b)));
        let lasting = |lasts: Lasts| self.specs.iter().filter(move |b| b.lasts == lasts).filter_map(|b| held(b.id));
        all.extend(lasting(Lasts::Step));
        let updates: Vec<(BufferId, usize)> = lasting(Lasts::Update).collect();
        for (id, n) in all {
            self.write(id, 0, &vec![u32::MAX; n])?;
        }
        let gradients = |id: &BufferId| id.whole() == BufferId::Gradients;
        for (id, n) in updates.into_iter().filter(|(id, _)| if gradients(id) { !given } else { between }) {
            // a parameter without a gradient keeps its zeros
            let poisoned: Vec<u32> = self.read(id, 0, n)?.into_iter().map(|w| if w == 0 { 0 } else { u32::MAX }).collect();
            self.write(id, 0, &poisoned)?;
        }
        Ok(())
    }
}
