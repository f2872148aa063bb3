# The tutorials in JupyterLab, for a class:  docker build -t minifcn . && docker run -p 8888:8888 minifcn
FROM python:3.11-slim
COPY . /opt/minifcn
RUN pip install --no-cache-dir "/opt/minifcn[tutorials]" \
    && useradd --create-home student \
    && cp -r /opt/minifcn/tutorials /home/student/tutorials \
    && chown -R student /home/student
USER student
WORKDIR /home/student/tutorials
EXPOSE 8888
CMD ["jupyter", "lab", "--ip=0.0.0.0", "--no-browser"]
