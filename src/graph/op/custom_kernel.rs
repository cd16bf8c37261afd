//! The kernel of a user's own operation, as the user gives it.

/// Words of the `dims` row that are the user's.
pub(crate) const USER_DIMS: usize = 40;

const WG: usize = 64;

/// A kernel of the user's own: WGSL, how many workgroups, and numbers for it.
///
/// The text stands behind a generated header with, for operand `k` and result `k`:
/// `fn in0(i: u32) -> f32` (`u32` for integers) reads element `i` of the first operand, 0 beyond its end; `fn out0(i: u32, value: f32)` writes element `i` of
/// the first result, and nothing beyond its end; `fn dim(i: u32) -> u32` is number `i` of [`CustomKernel::dims`]. The entry point is called `main`. Texts that are equal
/// share a pipeline: so put sizes into `dims`, not into the text.
///
/// A text that does not compile is an `Err` with the code `bad-shader`, the op's name and the compiler's message.
///
/// Let no invocation's loops turn more than 65,535 times, all loops together: lavapipe (software Vulkan, Mesa 22 to 25) leaves them then, and
/// says nothing. gradus cannot count the turns of this text. Cut long work into more invocations.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[must_use]
pub struct CustomKernel {
    /// WGSL with the entry point `main`.
    pub wgsl: String,
    /// Workgroups along each axis, at most 65,535.
    pub workgroups: [u32; 3],
    /// What `dim(i)` gives: at most 40 numbers.
    pub dims: Vec<u32>,
    /// Elements of a kernel made by [`CustomKernel::each`].
    pub(crate) count: u32,
}

impl CustomKernel {
    /// A whole kernel.
    ///
    /// ```
    /// use gradus::graph::CustomKernel;
    /// // the sum of each row of `dim(1)` elements, a thread a row
    /// let (rows, width) = (100, 7);
    /// let k = CustomKernel::new(
    ///     "@compute @workgroup_size(64)
    ///      fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    ///          if (id.x >= dim(0u)) { return; }
    ///          var sum = 0.0;
    ///          for (var c = 0u; c < dim(1u); c++) { sum += in0(id.x * dim(1u) + c); }
    ///          out0(id.x, sum);
    ///      }",
    ///     [100u32.div_ceil(64), 1, 1],
    /// );
    /// assert_eq!(k.dims([rows, width]).dims, [100, 7]);
    /// ```
    pub fn new(wgsl: impl Into<String>, workgroups: [u32; 3]) -> Self {
        CustomKernel { wgsl: wgsl.into(), workgroups, dims: Vec::new(), count: 0 }
    }

    /// The statements `body` for each `i` (a `u32`) below `n`, in threads of their own.
    pub fn each(n: usize, body: &str) -> Self {
        let wgsl = format!(
            "@compute @workgroup_size({WG})\n\
             fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {{\n    \
                 let i = id.y * groups.x * {WG}u + id.x;\n    if (i >= dim({USER_DIMS}u)) {{ return; }}\n    {body}\n}}\n"
        );
        let (groups, most) = (n.div_ceil(WG), 65_535);
        let y = groups.div_ceil(most).max(1);
        let axis = |n: usize| u32::try_from(n).unwrap_or(u32::MAX); // an error where it is launched
        // a thread's number has 32 bits
        let workgroups = if u32::try_from(n).is_ok() { [axis(groups.div_ceil(y)), axis(y), 1] } else { [u32::MAX, 1, 1] };
        CustomKernel { wgsl, workgroups, dims: Vec::new(), count: u32::try_from(n).unwrap_or(u32::MAX) }
    }

    /// What `dim(i)` gives.
    pub fn dims(mut self, dims: impl IntoIterator<Item = u32>) -> Self {
        self.dims = dims.into_iter().collect();
        self
    }
}
