// Blocks of 4 x 4 of a gemm's factors; 0 for terms beyond the last. What lies beyond the last row or column is some element: nobody stores it.
// Sizes: m, n, k.

// At terms k to k + 3: four rows of A.
fn a_rows(batch: u32, k: u32, row: u32) -> mat4x4<f32> {
    let last = select(d.m, d.k, TA) - 1u;
    var x: mat4x4<f32>;
    if (TA) {
        x = mat4x4<f32>(a4(batch, min(k, last), row), a4(batch, min(k + 1u, last), row), a4(batch, min(k + 2u, last), row), a4(batch, min(k + 3u, last), row));
    } else {
        x = transpose(mat4x4<f32>(
            a4(batch, min(row, last), k), a4(batch, min(row + 1u, last), k), a4(batch, min(row + 2u, last), k), a4(batch, min(row + 3u, last), k)));
    }
    return inside(x, k);
}

// At terms k to k + 3: four columns of B.
fn b_columns(batch: u32, k: u32, col: u32) -> mat4x4<f32> {
    let last = select(d.k, d.n, TB) - 1u;
    var x: mat4x4<f32>;
    if (TB) {
        x = transpose(mat4x4<f32>(
            b4(batch, min(col, last), k), b4(batch, min(col + 1u, last), k), b4(batch, min(col + 2u, last), k), b4(batch, min(col + 3u, last), k)));
    } else {
        x = mat4x4<f32>(b4(batch, min(k, last), col), b4(batch, min(k + 1u, last), col), b4(batch, min(k + 2u, last), col), b4(batch, min(k + 3u, last), col));
    }
    return inside(x, k);
}

fn inside(x: mat4x4<f32>, k: u32) -> mat4x4<f32> {
    let k_all = d.k;
    if (k + 3u < k_all) { return x; }
    let none = vec4<f32>();
    return mat4x4<f32>(
        select(none, x[0], k < k_all), select(none, x[1], k + 1u < k_all), select(none, x[2], k + 2u < k_all), select(none, x[3], k + 3u < k_all));
}
