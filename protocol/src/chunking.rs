//! Where a file is cut into chunks (FastCDC, Xia et al. 2016).
